// npm universal-analytics, batching as it does by itself: node universal_analytics.cjs URL ID
const ua = require('universal-analytics');

const [url, measurementId] = process.argv.slice(2);
const visitor = ua(measurementId, 'b0a7a3a5-0d2b-4a3c-9a51-0b1f7d2f9a10', {
  hostname: url, uid: 'old-user',
});
visitor
  .pageview({ dp: '/old', dt: 'Old page', dh: 'https://old.example', cs: 'letter', cm: 'email' })
  .event('video', 'play', 'holiday', 42)
  .pageview('/basket', 'https://old.example', 'Basket')
  .transaction('T-9', '30.00')
  .item(10, 3, 'sku-9', 'Mug')
  .timing('load', 'first paint', 250)
  .exception('broken', false)
  .send((error) => { if (error) { throw error; } });
