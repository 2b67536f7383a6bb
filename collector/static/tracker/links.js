// Links and forms to the other hosts of a site (data-domains) carry the visit over: _tml is the
// time, the client and the session, good for two minutes and for the browser that followed.

const LINK_MS = 120 * 1000;

const isLinked = ({ hostname }) => hostname != location.hostname && linkedHosts.some(
  linked => ('.' + hostname).endsWith('.' + linked));

const checksum = text => [...text + navigator.userAgent + navigator.language].reduce(
  (sum, character) => sum * 31 + character.charCodeAt() | 0, 7);

function carriedBy(address) {
  const url = new URL(address, location);
  const visit = [Date.now(), readCookie('_tm'), readCookie('_tms')].join('*');
  if (consent == GRANTED && isLinked(url)) url.searchParams.set('_tml', visit + '*' + checksum(visit));
  return url;
}

function carryByForm(form, { formData }) {
  const url = carriedBy(form.getAttribute('action'));
  const value = url.searchParams.get('_tml');
  if (!value) return;
  // Fields that are sent by GET come in the place of the action's query. They are known when it is
  // too late to change an action, which comes to nothing then.
  if (/post/i.test(form.getAttribute('method'))) form.setAttribute('action', url);
  else if (formData) formData.set('_tml', value);
}

function arriveByLink() {
  const url = new URL(location);
  const carried = url.searchParams.get('_tml');
  if (!carried) return;
  const [, visit, sentMs, client, session, sum] =
    /^((\d+)\*([\d.]+)\*([\d.]+))\*(.+)/.exec(carried) || [];
  if (checksum(visit) == sum && consent == GRANTED && Date.now() - sentMs < LINK_MS) {
    writeCookie('_tm', client);
    writeCookie('_tms', session);
  }
  url.searchParams.delete('_tml');
  history.replaceState(history.state, '', url);
}
