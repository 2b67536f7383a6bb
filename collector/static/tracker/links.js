// Links to the other hosts of a site (data-domains) carry the visit over: _tml is the time, the
// client and the session, good for two minutes and for the browser that followed the link.

const LINK_MS = 120 * 1000;

const isLinked = host => host != location.hostname && linkedHosts.some(
  linked => host == linked || host.endsWith('.' + linked));

function checksum(text) {
  let sum = 7;
  for (const character of text + navigator.userAgent + navigator.language) {
    sum = sum * 31 + character.charCodeAt() | 0;
  }
  return sum;
}

function linkedUrl(url) {
  url = new URL(url);
  const carried = [Date.now(), readCookie('_tm'), readCookie('_tms')].join('*');
  url.searchParams.set('_tml', carried + '*' + checksum(carried));
  return url.href;
}

function arriveByLink() {
  const url = new URL(location);
  const carried = url.searchParams.get('_tml');
  if (!carried) return;
  const [sentMs, client, session, sum] = carried.split('*');
  if (checksum([sentMs, client, session].join('*')) == sum && consent == GRANTED &&
      Math.abs(Date.now() - sentMs) < LINK_MS && /^[\d.]+$/.test(client + session)) {
    writeCookie('_tm', client);
    writeCookie('_tms', session);
  }
  url.searchParams.delete('_tml');
  history.replaceState(history.state, '', url);
}
