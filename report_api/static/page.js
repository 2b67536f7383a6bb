// The merchant's page: asks for the overview every two seconds and shows it. Whatever came from
// visitors reaches the document as text only.

import { drawHours, drawMinutes } from '/static/charts.js';
import { currency, number, percent } from '/static/formats.js';
import { fillTable } from '/static/tables.js';
import { forget, fromFragment, remember, remembered } from '/static/access.js';

const REFRESH_MS = 2000;

const byId = (id) => document.getElementById(id);
const byTest = (name) => document.querySelector(`[data-testid="${name}"]`);

let access = null;
let timer = 0;
let latest = null;

function show(...ids) {
  for (const id of ['sign-in', 'welcome', 'panels']) byId(id).hidden = !ids.includes(id);
  byId('leave').hidden = ids.includes('sign-in');
}

function state(text, isTroubled = false) {
  byId('state').textContent = text;
  byId('state').classList.toggle('troubled', isTroubled);
}

function askForKey(problem = '') {
  clearTimeout(timer);
  access = null;
  latest = null;
  byId('owner').textContent = '';
  byId('receipt').textContent = '';
  byId('problem').textContent = problem;
  state('');
  show('sign-in');
}

function snippet(overview) {
  const host = overview.collectorUrl || 'https://YOUR-COLLECTOR';
  const id = overview.property.measurementId;
  return `<script async src="${host}/t.js" data-measurement-id="${id}"></script>`;
}

function showToday(overview) {
  const today = overview.today;
  for (const name of ['activeUsers', 'sessions', 'screenPageViews', 'keyEvents']) {
    byTest(`today-${name}`).textContent = number(today[name]);
  }
  byTest('today-engagementRate').textContent = percent(today.engagementRate);
  byTest('today-totalRevenue').textContent =
    currency(today.totalRevenue, overview.property.currency);
  byId('day').textContent = `${overview.now.slice(0, 10)}, ${overview.property.timeZone}`;
}

// Hosts are named where there are several.
function showPages(pages) {
  const hasHosts = new Set(pages.map((row) => row.hostName)).size > 1;
  fillTable(byId('pages'), pages, (row) => [
    hasHosts && row.hostName !== '(not set)' ? row.hostName + row.pagePath : row.pagePath,
    number(row.screenPageViews), number(row.totalUsers),
  ]);
}

function showTables(overview) {
  showPages(overview.pages);
  fillTable(byId('sources'), overview.sources, (row) => [
    `${row.sessionSource} / ${row.sessionMedium}`,
    number(row.sessions), number(row.activeUsers),
  ]);
  fillTable(byId('events'), overview.events, (row) => [
    row.eventName, number(row.eventCount), number(row.totalUsers),
  ]);
}

function showOverview(overview) {
  latest = overview;
  byId('owner').textContent = `${overview.property.name} · ${overview.property.id}`;
  byId('snippet').textContent = snippet(overview);
  show('panels', overview.hasData ? '' : 'welcome');
  for (const name of ['users', 'views', 'events']) {
    byTest(`recent-${name}`).textContent = number(overview.lastMinutes[name]);
  }
  showToday(overview);
  showTables(overview);
  drawMinutes(byId('minutes-chart'), overview.lastMinutes.minutes, overview.property.timeZone);
  drawHours(byId('hours-chart'), overview.hours, Number(overview.now.slice(11, 13)));
  state(`Updated ${overview.now.slice(11, 19)}`);
  byId('receipt').textContent = receipt(overview.freshness, overview.property.timeZone);
}

function receipt(freshness, timeZone) {
  const clock = (us) => new Date(us / 1000).toLocaleTimeString('en-GB', { timeZone });
  const error = (100 * freshness.standard_error).toFixed(1);
  return [
    `From ${freshness.lineages.join(', ') || 'nothing yet'}`,
    freshness.newest_hit_us && `newest hit in the minute of ${clock(freshness.newest_hit_us)}`,
    freshness.frontier_us && `all counted that came before ${clock(freshness.frontier_us)}`,
    `${freshness.open_hours} hours not sealed yet`,
    `rules version ${freshness.rules_versions.join(', ')}`,
    freshness.standard_error ? `users ± ${error} %` : 'users exact',
    freshness.is_capped && 'small rows together as (other)',
    `pointer map ${freshness.pointer_map}`,
  ].filter(Boolean).join(' · ');
}

async function refresh() {
  clearTimeout(timer);
  const asked = access;
  if (!asked) return;
  try {
    const response = await fetch(
      `/v1/properties/${encodeURIComponent(asked.property)}/overview`,
      { headers: { Authorization: `Bearer ${asked.key}` }, cache: 'no-store' },
    );
    if (asked !== access) return;
    if (response.status === 401 || response.status === 403) {
      forget();
      askForKey('This key does not open this property.');
      return;
    }
    if (!response.ok) throw new Error(`answer ${response.status}`);
    const overview = await response.json();
    if (asked !== access) return;
    showOverview(overview);
  } catch (error) {
    if (asked !== access) return;
    const since = latest ? `, as of ${latest.now.slice(11, 19)}` : '';
    state(`Reports do not answer${since}; trying again`, true);
  }
  timer = setTimeout(refresh, REFRESH_MS);
}

function open(found) {
  access = found;
  remember(found);
  byId('key').value = '';
  byId('problem').textContent = '';
  byId('sign-in').hidden = true;
  state('Loading');
  refresh();
}

byId('sign-in').addEventListener('submit', (event) => {
  event.preventDefault();
  open({ property: byId('property').value.trim(), key: byId('key').value.trim() });
});
byId('leave').addEventListener('click', () => {
  forget();
  askForKey();
});
document.addEventListener('visibilitychange', () => {
  if (document.hidden) clearTimeout(timer);
  else refresh();
});
window.addEventListener('hashchange', () => {
  const found = fromFragment();
  if (found) open(found);
});
window.matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
  if (latest) showOverview(latest);
});

const known = fromFragment() || remembered();
if (known) open(known);
else askForKey();
