// Settings: what the script's tag says of the property and of the page it is on.

const script = document.currentScript || document.querySelector('script[src*="/t.js"]');
const attribute = (name, otherwise) => script.getAttribute('data-' + name) || otherwise;
const list = (name, otherwise) => attribute(name, otherwise).split(/[\s,]+/);

const measurementId = attribute('measurement-id', (/[?&]id=([\w-]+)/.exec(script.src) || [])[1]);
const collectUrl = script.src.split('/').slice(0, 3).join('/') + '/g/collect';
const linkedHosts = list('domains', '');
const searchNames = list('search', 'q s search query keyword');
const measured = list('measure', 'scroll click download search video form');
const common = {}; // parameters of all events, by `set` and `config`

const measures = name => measured.includes(name);
const listen = (target, type, listener) => target.addEventListener(type, listener, true);
