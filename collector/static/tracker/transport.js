// Transport. While the page stays, what does not arrive is kept and sent again: _tk is the time
// and name of a hit, by which a second arrival is known, _ta its age in ms. What is sent on leaving goes by
// beacon, of which nobody hears whether it arrived.

const MOST_WAITING = 50;
const RETRY_MS = 30 * 1000;
let waiting = [];

function send(name, params = {}) {
  noteEngagement();
  const pairs = eventPairs(name, params);
  const hit = { at: Date.now(), pairs, number: sent, engaging: engagedMs >= ENGAGED_MS || name == 'page_view' };
  engagedMs = 0;
  if (params.event_callback) setTimeout(params.event_callback);
  if (consent == 'denied') held.push(hit); else dispatch(hit);
}

function dispatch({ at, pairs, number, engaging }) {
  transmit({ at, query: [...pairs, ...visitAt(at, engaging), ['_tk', at + '.' + pageId + number]]
    .filter(([, value]) => value || value === 0)
    .map(pair => pair.map(encodeURIComponent).join('=')).join('&') });
}

function transmit(hit) {
  const url = `${collectUrl}?${hit.query}&_ta=${Date.now() - hit.at}`;
  if (isLeaving && navigator.sendBeacon(url)) return;
  if (!window.fetch) return transmitByXhr(url);
  fetch(url, { method: 'POST', keepalive: true })
    .then(({ status }) => status < 500 && status != 429 || keep(hit), () => keep(hit));
}

function transmitByXhr(url) {
  const request = new XMLHttpRequest();
  request.open('POST', url);
  request.send();
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
