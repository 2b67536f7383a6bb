// Parameters of an event, in the names of GA4's web format.

const ITEM_NAMES = {
  item_id: 'id', item_name: 'nm', item_brand: 'br', item_category: 'ca', item_category2: 'c2',
  item_category3: 'c3', item_category4: 'c4', item_category5: 'c5', item_variant: 'va',
  price: 'pr', quantity: 'qt', coupon: 'cp', discount: 'ds', affiliation: 'af',
  item_list_name: 'ln', item_list_id: 'li', index: 'lp'
};
const NAMES = {
  page_location: 'dl', page_referrer: 'dr', page_title: 'dt', user_id: 'uid', currency: 'cu'
};

const pageId = Date.now() + '' + (Math.random() * 1e9 | 0);
let sent = 0;

const itemText = item => Object.keys(item).filter(name => ITEM_NAMES[name])
  .map(name => ITEM_NAMES[name] + `${item[name]}`.replace(/~/g, '~~')).join('~');

const named = (prefix, values) => Object.assign({}, ...Object.entries(values).flatMap(
  ([name, value]) =>
    name == 'items' ? value.slice(0, 200).map((item, index) => ({ ['pr' + (index + 1)]: itemText(item) }))
      : name == 'user_properties' ? named('up', value)
        : { [prefix == 'ep' && NAMES[name] || prefix + (Number.isFinite(value) ? 'n.' : '.') + name]: value }
));

const eventFields = (name, params) => ({
  v: 2, tid: measurementId, _p: pageId, ul: navigator.language.toLowerCase(),
  sr: screen.width + 'x' + screen.height, _s: ++sent, en: name, _et: engagedMs || '',
  gcs: consent == GRANTED ? 'G101' : 'G100', ...named('ep', {
    page_location: pageUrl, page_referrer: referrer, page_title: document.title,
    ...common, ...params })
});
