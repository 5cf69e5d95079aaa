/** @param {number} ms @returns {Promise<void>} */
export const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Ends the task: what the browser and the reader wait for goes first. @returns {Promise<void>} */
export const nextTask = () => globalThis.scheduler?.yield?.() ?? pause(0);
