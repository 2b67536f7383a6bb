// Commands: tallymark(…) and gtag(…) take the same. Of those given before the script was there,
// events come last, so that settings and consent hold for the first page view too.

let isManual = attribute('page-view') == 'manual';

function command(verb, first, second) {
  if (verb == 'event') send(first, second);
  else if (verb == 'consent') setConsent((second || {}).analytics_storage);
  else if (verb == 'set') Object.assign(common, second == null ? first : { [first]: second });
  else if (verb == 'config' && first == measurementId) {
    const { send_page_view, ...params } = second || {};
    isManual = isManual || send_page_view === false;
    Object.assign(common, params);
  }
}

function start() {
  arriveByLink();
  const layer = window.dataLayer = window.dataLayer || [];
  const calls = [...(window.tallymark || {}).q || [], ...layer];
  const isEvent = call => call[0] == 'event';
  calls.filter(call => !isEvent(call)).forEach(call => command(...call));
  followPages();
  followEngagement();
  followLinks();
  if (measures('scroll')) followScroll();
  if (measures('form')) followForms();
  if (measures('video')) followVideos();
  if (!isManual) viewPage();
  calls.filter(isEvent).forEach(call => command(...call));
  window.tallymark = command;
  layer.push = call => command(...call);
  listen(window, 'online', retry);
  resume();
}

// Gtag's snippet stands behind its script: what it configures has to be waited for.
if (document.prerendering) listen(document, 'prerenderingchange', start);
else if (!attribute('measurement-id') && document.readyState == 'loading') {
  listen(document, 'DOMContentLoaded', start);
} else start();
