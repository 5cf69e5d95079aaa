/** Ends the task: what the browser and the reader wait for goes first. @returns {Promise<void>} */
export const nextTask = () => globalThis.scheduler?.yield?.() ?? new Promise((resolve) => setTimeout(resolve));
