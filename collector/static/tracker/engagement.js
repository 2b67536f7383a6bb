// Engagement: the time during which the page is seen and has the focus.

const ENGAGED_MS = 10 * 1000;
let engagedMs = 0;
let engagedSince = 0;
let isLeaving = false;

function noteEngagement() {
  const nowMs = Date.now();
  if (engagedSince) engagedMs += nowMs - engagedSince;
  engagedSince = !document.hidden && document.hasFocus() ? nowMs : 0;
}

function leave() {
  isLeaving = true;
  noteEngagement();
  if (engagedMs) send('user_engagement');
  isLeaving = false;
  engagedSince = 0;
}

function followEngagement() {
  listen(document, 'visibilitychange', () => document.hidden ? leave() : noteEngagement());
  listen(window, 'pagehide', leave);
  listen(window, 'focus', noteEngagement);
  listen(window, 'blur', noteEngagement);
}
