/** Bytes as a reader counts them: `3.4 MB`, `92 MB`, `1.26 GB`. @param {number} bytes */
export function formatBytes(bytes) {
  if (bytes >= 1e9) return `${(bytes / 1e9).toFixed(2)} GB`;
  const megabytes = bytes / 1e6;
  return `${megabytes.toFixed(megabytes < 10 ? 1 : 0)} MB`;
}

/** A rate in tokens a second, with as many digits as it deserves. @param {number} rate */
export function formatRate(rate) {
  if (!Number.isFinite(rate)) return '–';
  return `${rate.toFixed(rate < 10 ? (rate < 1 ? 2 : 1) : 0)} tokens/s`;
}
