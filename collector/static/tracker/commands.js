// Commands: tallymark(…) and gtag(…) take the same. Of those given before the script was there,
// events come last, so that settings and consent hold for the first page view too.

function command(verb, first, second) {
  if (verb == 'event') send(first, second);
  else if (verb == 'consent') setConsent((second || {}).analytics_storage);
  else if (verb == 'set') Object.assign(common, second == null ? first : { [first]: second });
  else if (verb == 'config' && first == measurementId) {
    const { send_page_view, ...params } = second || {};
    if (send_page_view === false) viewedPages = 'manual';
    Object.assign(common, params);
  }
}

function start() {
  arriveByLink();
  const layer = window.dataLayer = window.dataLayer || [];
  const calls = [...(window.tallymark || {}).q || [], ...layer];
  const isEvent = call => call[0] == 'event';
  const run = call => command(...call);
  calls.filter(call => !isEvent(call)).forEach(run);
  followPages();
  followEngagement();
  if (measures('scroll')) followScroll();
  if (measures('form')) followForms();
  if (measures('video')) followVideos();
  followLinks(); // last, so that nothing is told of addresses with a visit in them
  viewPage();
  calls.filter(isEvent).forEach(run);
  window.tallymark = command;
  layer.push = run;
  listen(window, 'online', retry);
  resume();
}

// Gtag's snippet stands behind its script: what it configures has to be waited for.
const moment = document.prerendering ? 'prerenderingchange'
  : !attribute('measurement-id') && document.readyState == 'loading' && 'DOMContentLoaded';
if (moment) listen(document, moment, start); else start();
