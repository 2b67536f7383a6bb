// Consent: `granted`; `denied`, which keeps hits on the page until they may be sent; or
// `cookieless`, which sends them without an identity of the visitor's.

const GRANTED = 'granted';
const isRefused = attribute('signals') == 'respect' &&
  (navigator.globalPrivacyControl || navigator.doNotTrack == 1);
let consent = attribute('consent', GRANTED);
const withoutIt = consent == GRANTED ? 'denied' : consent;
if (isRefused) consent = withoutIt;
const held = []; // hits that wait for consent

function setConsent(choice) {
  if (!choice || isRefused) return;
  consent = choice == GRANTED ? choice : withoutIt;
  if (consent != GRANTED) forget();
  else held.splice(0).forEach(dispatch);
}
