/** Bytes as a reader counts them: `640 bytes`, `12 kB`, `3.4 MB`, `92 MB`, `1.26 GB`. @param {number} bytes */
export function formatBytes(bytes) {
  if (bytes >= 1e9) return `${(bytes / 1e9).toFixed(2)} GB`;
  if (bytes < 1000) return `${bytes} byte${bytes === 1 ? '' : 's'}`;
  if (bytes < 1e5) return `${(bytes / 1e3).toFixed(0)} kB`;
  const megabytes = bytes / 1e6;
  return `${megabytes.toFixed(megabytes < 10 ? 1 : 0)} MB`;
}

/** A rate in tokens a second, with as many digits as it deserves. @param {number} rate */
export function formatRate(rate) {
  if (!Number.isFinite(rate)) return '–';
  return `${rate.toFixed(rate < 10 ? (rate < 1 ? 2 : 1) : 0)} tokens/s`;
}

/** How long something still takes, as roughly as anybody knows it. @param {number} seconds */
export function formatLeft(seconds) {
  if (!Number.isFinite(seconds)) return '';
  if (seconds < 5) return 'a few seconds left';
  if (seconds < 55) return `${Math.ceil(seconds / 5) * 5} s left`;
  if (seconds < 3600) return `${Math.round(seconds / 60)} min left`;
  return 'over an hour left';
}

/** A counted noun. @param {number} count @param {string} one @param {string} [many] */
export const count = (count, one, many = `${one}s`) => `${count} ${count === 1 ? one : many}`;

/** A speed over the last seconds: bytes a second, NaN until it is known. */
export function speedMeter() {
  const seen = [];
  return (bytes) => {
    const now = performance.now();
    seen.push({ now, bytes });
    while (now - seen[0].now > 4000) seen.shift();
    const seconds = (now - seen[0].now) / 1000;
    return seconds < 0.5 ? NaN : (bytes - seen[0].bytes) / seconds;
  };
}

/** An error message as a sentence; one that begins with a name, such as a file's, keeps it. @param {string} text */
export function sentence(text) {
  const begun = text.replace(/^[a-z]+(?=[ ,']|$)/, (word) => word.charAt(0).toUpperCase() + word.slice(1));
  return begun.replace(/\.?$/, '.');
}
