/** IndexedDB's requests and transactions as promises. */

/** @template T @param {IDBRequest<T>} request @returns {Promise<T>} */
export const settled = (request) =>
  new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });

/**
 * Changes stores in one transaction. It is on the disk when this resolves.
 * @param {IDBDatabase} database
 * @param {string[]} names of the stores
 * @param {(...stores: IDBObjectStore[]) => void} work
 * @returns {Promise<void>}
 */
export const change = (database, names, work) =>
  new Promise((resolve, reject) => {
    const transaction = database.transaction(names, 'readwrite', { durability: 'strict' });
    transaction.oncomplete = () => resolve();
    transaction.onabort = transaction.onerror = () => reject(transaction.error ?? new DOMException('aborted', 'AbortError'));
    work(...names.map((name) => transaction.objectStore(name)));
  });
