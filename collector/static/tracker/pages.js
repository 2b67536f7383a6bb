// Page views: at the start, when the page's own address changes (not where `load` is said), and
// back from the cache of whole pages; none where the page sends them itself (`manual`).

let viewedPages = attribute('page-view');
let pageUrl;
let referrer = document.referrer;

function viewPage() {
  const left = pageUrl;
  if (location.href == left) return;
  if (left) referrer = left;
  pageUrl = location.href;
  hasScrolled = false;
  if (viewedPages != 'manual' && !(left && viewedPages == 'load')) send('page_view');
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
  listen(window, 'pageshow', (_, { persisted }) => {
    if (persisted) {
      pageUrl = '';
      viewPage();
    }
  });
}
