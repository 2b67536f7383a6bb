// The two charts, drawn with uPlot (uplot/LICENSE).

/* global uPlot */

const HEIGHT = 180;
const drawn = new Map();

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function axes(format, along = {}) {
  const common = {
    stroke: colour('--soft'),
    grid: { stroke: colour('--line'), width: 1 },
    ticks: { show: false },
    font: '12px system-ui, sans-serif',
  };
  return [
    {
      ...common,
      grid: { show: false },
      size: 30,
      values: (chart, splits) => splits.map(format),
      ...along,
    },
    {
      ...common,
      size: 44,
      incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5, 1e6, 1e7],
    },
  ];
}

// A chart is made anew when its data or the colours have changed; a few points cost nothing.
function draw(element, data, options) {
  const width = element.clientWidth;
  const fingerprint = JSON.stringify([data, colour('--views')]);
  const known = drawn.get(element);
  if (!width || (known && known.fingerprint === fingerprint)) return;
  if (known) known.chart.destroy();
  const chart = new uPlot({
    width,
    height: HEIGHT,
    legend: { show: false },
    cursor: { show: false },
    padding: [8, 8, 0, 0],
    ...options,
  }, data, element);
  drawn.set(element, { chart, fingerprint });
}

new ResizeObserver(() => {
  for (const [element, { chart }] of drawn) {
    if (element.clientWidth) chart.setSize({ width: element.clientWidth, height: HEIGHT });
  }
}).observe(document.body);

const fromZero = { range: (chart, least, most) => [0, Math.max(4, most * 1.1)] };

export function drawMinutes(element, minutes, timeZone) {
  const clock = new Intl.DateTimeFormat(undefined, {
    hour: '2-digit', minute: '2-digit', timeZone, hourCycle: 'h23',
  });
  const at = minutes.map((minute) => minute.startSeconds);
  draw(element, [at, minutes.map((minute) => minute.views)], {
    scales: { x: { time: true, range: [at[0] - 30, at[at.length - 1] + 30] }, y: fromZero },
    axes: axes((seconds) => clock.format(new Date(seconds * 1000))),
    series: [{}, {
      fill: colour('--views'),
      stroke: colour('--views'),
      width: 0,
      points: { show: false },
      paths: uPlot.paths.bars({ size: [0.7, 40], radius: 0.2 }),
    }],
  });
}

export function drawHours(element, rows, presentHour) {
  const found = new Map(rows.map((row) => [Number(row.hour), row]));
  const hours = Array.from({ length: 24 }, (_, hour) => hour);
  const value = (hour, name) => Number(found.get(hour)?.[name] ?? 0);
  const values = (name) => hours.map((hour) => (hour > presentHour ? null : value(hour, name)));
  draw(element, [hours, values('screenPageViews'), values('sessions')], {
    scales: { x: { time: false, range: [-0.5, 23.5] }, y: fromZero },
    axes: axes((hour) => String(hour).padStart(2, '0'), { incrs: [1, 2, 3, 4, 6, 12], space: 32 }),
    series: [{}, {
      fill: colour('--views'),
      stroke: colour('--views'),
      width: 0,
      points: { show: false },
      paths: uPlot.paths.bars({ size: [0.7, 40], radius: 0.2 }),
    }, {
      stroke: colour('--sessions'),
      width: 2,
      points: { show: false },
      paths: uPlot.paths.spline(),
    }],
  });
}
