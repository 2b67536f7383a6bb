/*
 * The Tallymark tracker: <script async src="https://HOST/t.js" data-measurement-id="G-…"></script>
 * or t.js?id=G-…. Sends page views by itself, other events by tallymark('event', name, params),
 * and sets tallymark('set', {user_id: …, user_properties: {…}, other: 'parameters'}).
 * Speaks GA4's web format to the host that it came from, and to nobody else.
 */
(function (window, document) {
  'use strict';

  var script = document.currentScript || document.querySelector('script[src*="/t.js"]');
  if (!script) return;
  var source = script.src;
  var measurementId = script.getAttribute('data-measurement-id') ||
    decodeURIComponent((/[?&]id=([^&#]*)/.exec(source) || [])[1] || '');
  if (!measurementId) return;

  var collectUrl = source.split('/').slice(0, 3).join('/') + '/g/collect';
  var SESSION_GAP_MS = 30 * 60 * 1000;
  var ENGAGED_MS = 10 * 1000;
  var YEAR_SECONDS = 365 * 24 * 3600;
  var navigator = window.navigator;
  var pageId = String(Date.now()) + Math.floor(Math.random() * 1000);
  var settings = {};
  var sent = 0;
  var pageUrl = '';
  var referrer = document.referrer;
  var engagedMs = 0;
  var engagedSince = 0;

  // Cookies: _tm is the client (random.time), _tms its session (id.number.engaged.last hit).

  function readCookie(name) {
    var found = new RegExp('(?:^|; )' + name + '=([^;]*)').exec(document.cookie);
    return found ? decodeURIComponent(found[1]) : '';
  }

  function writeCookie(name, value, seconds) {
    document.cookie = name + '=' + encodeURIComponent(value) + '; path=/; max-age=' + seconds +
      '; SameSite=Lax' + (window.location.protocol === 'https:' ? '; Secure' : '');
  }

  function currentVisit(nowMs) {
    var seconds = Math.floor(nowMs / 1000);
    var client = readCookie('_tm');
    var isFirst = !/^\d+\.\d+$/.test(client);
    if (isFirst) client = Math.floor(Math.random() * 2147483647) + '.' + seconds;
    var parts = readCookie('_tms').split('.').map(Number);
    var session = { id: parts[0], number: parts[1], engaged: parts[2], lastMs: parts[3] };
    var isOver = isFirst || !(nowMs - session.lastMs < SESSION_GAP_MS);
    if (isOver) session = { id: seconds, number: (session.number || 0) + 1, engaged: 0 };
    writeCookie('_tm', client, 2 * YEAR_SECONDS);
    return { client: client, isFirst: isFirst, session: session, isNewSession: isOver };
  }

  // Engagement: the time during which the page is seen and has the focus.

  function noteEngagement() {
    var nowMs = Date.now();
    if (engagedSince) engagedMs += nowMs - engagedSince;
    var isSeen = document.visibilityState === 'visible' &&
      (!document.hasFocus || document.hasFocus());
    engagedSince = isSeen ? nowMs : 0;
  }

  // Parameters, in the names of GA4's web format.

  function addItems(pairs, items) {
    var names = {
      item_id: 'id', item_name: 'nm', item_brand: 'br', item_category: 'ca', item_variant: 'va',
      price: 'pr', quantity: 'qt', coupon: 'cp', discount: 'ds', affiliation: 'af'
    };
    items.slice(0, 200).forEach(function (item, index) {
      var fields = Object.keys(names).filter(function (name) { return item[name] != null; });
      pairs.push(['pr' + (index + 1), fields.map(function (name) {
        return names[name] + String(item[name]).replace(/~/g, '~~');
      }).join('~')]);
    });
  }

  function addNamed(pairs, prefix, values) {
    Object.keys(values || {}).forEach(function (name) {
      var value = values[name];
      if (value == null || typeof value === 'function') return;
      var isNumber = typeof value === 'number' && isFinite(value);
      pairs.push([prefix + (isNumber ? 'n.' : '.') + name, String(value)]);
    });
  }

  function eventPairs(name, params, visit) {
    var screen = window.screen || {};
    var own = Object.assign({}, settings, params);
    var pairs = [
      ['v', '2'], ['tid', measurementId], ['_p', pageId], ['cid', visit.client],
      ['ul', (navigator.language || '').toLowerCase()], ['sr', screen.width + 'x' + screen.height],
      ['_s', ++sent], ['sid', visit.session.id], ['sct', visit.session.number],
      ['seg', visit.session.engaged], ['dl', own.page_location || pageUrl],
      ['dr', own.page_referrer || referrer], ['dt', own.page_title || document.title], ['en', name]
    ];
    if (visit.isFirst) pairs.push(['_fv', '1']);
    if (visit.isNewSession) pairs.push(['_ss', '1']);
    if (own.user_id) pairs.push(['uid', own.user_id]);
    if (own.currency) pairs.push(['cu', own.currency]);
    if (engagedMs > 0) pairs.push(['_et', engagedMs]);
    if (Array.isArray(own.items)) addItems(pairs, own.items);
    addNamed(pairs, 'up', own.user_properties);
    ['page_location', 'page_referrer', 'page_title', 'user_id', 'currency', 'items',
      'user_properties'].forEach(function (taken) { delete own[taken]; });
    addNamed(pairs, 'ep', own);
    return pairs;
  }

  function send(name, params) {
    noteEngagement();
    var nowMs = Date.now();
    var visit = currentVisit(nowMs);
    var session = visit.session;
    if (engagedMs >= ENGAGED_MS || (name === 'page_view' && !visit.isNewSession)) {
      session.engaged = 1;
    }
    writeCookie('_tms', [session.id, session.number, session.engaged, nowMs].join('.'),
      2 * YEAR_SECONDS);
    transmit(collectUrl + '?' + eventPairs(name, params, visit).map(function (pair) {
      return encodeURIComponent(pair[0]) + '=' + encodeURIComponent(pair[1]);
    }).join('&'));
    engagedMs = 0;
  }

  function transmit(url) {
    try {
      if (navigator.sendBeacon && navigator.sendBeacon(url)) return;
    } catch (refused) { /* some browsers throw where others return false */ }
    if (window.fetch) {
      window.fetch(url, { method: 'POST', keepalive: true, credentials: 'include' })
        .catch(function () { transmitByXhr(url); });
    } else {
      transmitByXhr(url);
    }
  }

  function transmitByXhr(url) {
    var request = new XMLHttpRequest();
    request.open('POST', url, true);
    request.withCredentials = true;
    request.send();
  }

  // Page views: at the start, and whenever the page's own address changes.

  function viewPage() {
    var url = window.location.href;
    if (url === pageUrl) return;
    if (pageUrl) referrer = pageUrl;
    pageUrl = url;
    send('page_view');
  }

  function followHistory() {
    ['pushState', 'replaceState'].forEach(function (name) {
      var original = window.history[name];
      if (!original) return;
      window.history[name] = function () {
        var result = original.apply(this, arguments);
        window.setTimeout(viewPage, 0); // the page sets its title after the address
        return result;
      };
    });
    window.addEventListener('popstate', function () { window.setTimeout(viewPage, 0); });
  }

  function leave() {
    noteEngagement();
    if (engagedMs > 0) send('user_engagement');
    engagedSince = 0;
  }

  function followEngagement() {
    document.addEventListener('visibilitychange', function () {
      if (document.visibilityState === 'hidden') leave(); else noteEngagement();
    });
    window.addEventListener('pagehide', leave);
    window.addEventListener('focus', noteEngagement);
    window.addEventListener('blur', noteEngagement);
  }

  function command(verb, first, second) {
    if (verb === 'event') send(String(first), second);
    else if (verb === 'set') Object.assign(settings, first);
  }

  function start() {
    var waiting = (window.tallymark && window.tallymark.q) || [];
    window.tallymark = command;
    var sets = waiting.filter(function (call) { return call[0] === 'set'; });
    sets.forEach(function (call) { command.apply(null, call); });
    followHistory();
    followEngagement();
    viewPage();
    waiting.forEach(function (call) { if (call[0] !== 'set') command.apply(null, call); });
  }

  if (document.prerendering) document.addEventListener('prerenderingchange', start, { once: true });
  else start();
})(window, document);
