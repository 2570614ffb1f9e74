// From time to place. Stretches in which nothing ran are shortened where they would leave no room for the rest. Pure.

// The share of the time at work that a stretch of waiting may take up.
const LONGEST_WAIT = 0.5;
const STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 28_800, 86_400, 172_800, 604_800].map((s) => s * 1000);

export function scale({ from, to, bars, gates }, left, right) {
  const pieces = cut(from, to, merged([...bars, ...gates]));
  const busy = pieces.filter((piece) => !piece.idle).reduce((sum, piece) => sum + piece.to - piece.from, 0);
  const cap = busy > 0 ? busy * LONGEST_WAIT : Infinity;
  for (const piece of pieces) {
    const length = piece.to - piece.from;
    // Little is gained by shortening a little, and a straight scale is easier to read.
    piece.short = piece.idle && length > cap * 2;
    piece.shown = piece.short ? cap : length;
  }
  const whole = pieces.reduce((sum, piece) => sum + piece.shown, 0) || 1;
  let x = left;
  for (const piece of pieces) {
    piece.x = x;
    piece.width = ((right - left) * piece.shown) / whole;
    x += piece.width;
  }
  const x_ = (time) => {
    const piece = pieces.find((one) => time <= one.to) ?? pieces[pieces.length - 1];
    const part = (time - piece.from) / (piece.to - piece.from || 1);
    return piece.x + piece.width * Math.min(1, Math.max(0, part));
  };
  return { x: x_, breaks: pieces.filter((piece) => piece.short), ticks: ticks(from, to, pieces, x_, right - left) };
}

function merged(spans) {
  const found = [];
  for (const { from, to } of spans.slice().sort((a, b) => a.from - b.from)) {
    const last = found[found.length - 1];
    if (last && from <= last.to) last.to = Math.max(last.to, to);
    else found.push({ from, to });
  }
  return found;
}

function cut(from, to, busy) {
  const pieces = [];
  let at = from;
  for (const span of busy) {
    if (span.from > at) pieces.push({ from: at, to: span.from, idle: true });
    if (span.to > Math.max(at, span.from)) pieces.push({ from: Math.max(at, span.from), to: span.to, idle: false });
    at = Math.max(at, span.to);
  }
  if (to > at) pieces.push({ from: at, to, idle: true });
  return pieces.length > 0 ? pieces : [{ from, to: to + 1, idle: true }];
}

// Round times since the beginning, as many as there is room for.
function ticks(from, to, pieces, x, width) {
  const shown = pieces.reduce((sum, piece) => sum + piece.shown, 0);
  const room = Math.max(2, Math.floor(width / 80));
  const step = STEPS.find((one) => shown / one <= room) ?? STEPS[STEPS.length - 1];
  const found = [{ after: 0, x: x(from) }];
  for (const piece of pieces) {
    if (piece.short) continue;
    const first = Math.ceil((piece.from - from) / step) * step;
    for (let after = first; after <= piece.to - from; after += step) {
      const place = x(from + after);
      if (place - found[found.length - 1].x >= 48) found.push({ after, x: place });
    }
  }
  return found;
}
