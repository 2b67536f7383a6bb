// The visit, in cookies: _tm is the client (random.time), _tms its session (id.number.engaged.
// last hit). A browser that keeps no cookies is sent for without a client.

const SESSION_GAP_MS = 30 * 60 * 1000;
const TWO_YEARS_SECONDS = 2 * 365 * 24 * 3600;

const readCookie = name => (new RegExp(`(?:^|; )${name}=([\\d.]*)`).exec(document.cookie) || [])[1];

function writeCookie(name, value, seconds = TWO_YEARS_SECONDS) {
  document.cookie = `${name}=${value}; path=/; max-age=${seconds}; SameSite=Lax` +
    (location.protocol == 'https:' ? '; Secure' : '');
}

function forget() {
  writeCookie('_tm', '', 0);
  writeCookie('_tms', '', 0);
}

function visitAt(nowMs, isEngaging) {
  if (consent != GRANTED) return;
  const seconds = Math.floor(nowMs / 1000);
  const known = readCookie('_tm');
  const client = known || (Math.random() * 2 ** 31 | 0) + '.' + seconds;
  writeCookie('_tm', client);
  if (!readCookie('_tm')) return;
  let session = (readCookie('_tms') || '').split('.').map(Number);
  const isNew = !known || !(nowMs - session[3] < SESSION_GAP_MS);
  if (isNew) session = [seconds, (session[1] || 0) + 1, 0];
  else if (isEngaging) session[2] = 1;
  session[3] = nowMs;
  writeCookie('_tms', session.join('.'));
  return { cid: client, sid: session[0], sct: session[1], seg: session[2],
    _fv: !known && 1, _ss: isNew && 1 };
}
