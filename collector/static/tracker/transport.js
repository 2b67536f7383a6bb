// Transport. While the page stays, what does not arrive is kept and sent again: _tk is the time
// and name of a hit, by which a second arrival is known, _ta its age in ms. What is sent on leaving goes by
// beacon, of which nobody hears whether it arrived.

const MOST_WAITING = 50;
const RETRY_MS = 30 * 1000;
let waiting = [];

function send(name, { event_callback, ...params } = {}) {
  noteEngagement();
  const fields = eventFields(name, params);
  const hit = { at: Date.now(), fields, number: sent, engaging: engagedMs >= ENGAGED_MS || name == 'page_view' };
  engagedMs = 0;
  if (event_callback) setTimeout(event_callback);
  if (consent == 'denied') held.push(hit); else dispatch(hit);
}

function dispatch({ at, fields, number, engaging }) {
  const told = { ...fields, ...visitAt(at, engaging), _tk: at + '.' + pageId + number };
  const query = '' + new URLSearchParams(
    Object.entries(told).filter(([, value]) => value || value === 0));
  transmit({ at, query });
}

function transmit(hit) {
  const url = `${collectUrl}?${hit.query}&_ta=${Date.now() - hit.at}`;
  if ((isLeaving || !window.fetch) && navigator.sendBeacon(url)) return;
  fetch(url, { method: 'POST', keepalive: true })
    .then(({ status }) => status < 500 && status != 429 || keep(hit), () => keep(hit));
}

function keep(hit) {
  waiting = [...waiting, hit].slice(-MOST_WAITING);
  store();
  setTimeout(retry, RETRY_MS);
}

function store() {
  try {
    if (consent == GRANTED) localStorage._tmq = JSON.stringify(waiting);
    else delete localStorage._tmq;
  } catch (refused) { /* a browser that keeps nothing */ }
}

function retry() {
  const again = waiting;
  waiting = [];
  store();
  again.forEach(transmit);
}

function resume() {
  try {
    waiting = JSON.parse(localStorage._tmq);
  } catch (nothing) { /* none was left by pages before */ }
  retry();
}
