// Settings: what the script's tag says of the property and of the page it is on, and what the
// collector has put behind the script of what the data stream says (`stream`).

const script = document.currentScript || document.querySelector('script[src*="/t.js"]');
const attribute = (name, otherwise) => script.getAttribute('data-' + name) || stream[name] || otherwise;
const list = (name, otherwise) => attribute(name, otherwise).split(/[\s,]+/);

const source = new URL(script.src);
const measurementId = attribute('measurement-id', source.searchParams.get('id'));
const collectUrl = source.origin + '/g/collect';
const linkedHosts = list('domains', '');
const searchNames = list('search', 'q s search query keyword');
const measured = list('measure', 'scroll click download search video form');
const common = {}; // parameters of all events, by `set` and `config`

const measures = name => measured.includes(name);
const listen = (place, type, listener) =>
  place.addEventListener(type, event => listener(event.target, event), true);
