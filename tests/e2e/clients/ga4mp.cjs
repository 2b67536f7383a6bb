// npm @analytics-debugger/ga4mp, as a server would use it: node ga4mp.cjs URL MEASUREMENT_ID
const ga4mp = require('@analytics-debugger/ga4mp/dist/ga4mp.umd.js');

// A trackEvent ends before the next begins, as with the real pauses of a visit.
const [url, measurementId] = process.argv.slice(2);
const tracker = ga4mp(measurementId, {
  endpoint: `${url}/g/collect`, client_id: '7.7', session_id: 1700000000, user_id: 'npm-user',
});
tracker.setUserProperty('level', 'gold');
tracker.trackEvent('page_view', {
  page_location: 'https://ga4mp.example/start?utm_source=npm&utm_medium=test', page_title: 'Start',
});
tracker.trackEvent('purchase', {
  page_location: 'https://ga4mp.example/thanks', currency: 'EUR', value: 25.5,
  transaction_id: 'G-1',
  items: [{ item_id: 's1', item_name: 'Shirt', price: 12.75, quantity: 2, colour: 'red' }],
});
