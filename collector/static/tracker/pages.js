// Page views: at the start, when the page's own address changes, and back from the cache of
// whole pages.

let pageUrl;
let referrer = document.referrer;

function viewPage() {
  if (location.href == pageUrl) return;
  if (pageUrl) referrer = pageUrl;
  pageUrl = location.href;
  hasScrolled = false;
  send('page_view');
  if (measures('search')) noteSearch();
}

function followPages() {
  const viewSoon = () => setTimeout(viewPage); // a title follows its address
  ['pushState', 'replaceState'].forEach(name => {
    const original = history[name];
    history[name] = (...change) => {
      original.apply(history, change);
      viewSoon();
    };
  });
  listen(window, 'popstate', viewSoon);
  listen(window, 'pageshow', ({ persisted }) => {
    if (persisted) {
      pageUrl = '';
      viewPage();
    }
  });
}
