import { $ } from './dom.js';

/** Whether files are dragged. @param {DragEvent} event */
export const hasFiles = ({ dataTransfer }) => Boolean(dataTransfer?.types.includes('Files'));

/**
 * Files that are dropped anywhere on the page, with a sign while they hover.
 * @param {{ wanted: (event: DragEvent) => boolean, barred: (event: DragEvent) => boolean,
 *           take: (transfer: DataTransfer) => void }} how
 *   `wanted`: whether a drop would be taken; `barred`: whether the browser may not do with it what it does by itself,
 *   such as leaving the page for the file
 */
export function listenToDrops({ wanted, barred, take }) {
  let depth = 0;
  const end = () => {
    depth = 0;
    $('drop-target').hidden = true;
  };
  addEventListener('dragenter', (event) => {
    if (!wanted(event)) return;
    depth++;
    $('drop-target').hidden = false;
  });
  addEventListener('dragleave', (event) => wanted(event) && --depth <= 0 && end());
  addEventListener('dragover', (event) => {
    if (barred(event)) event.preventDefault();
    if (wanted(event)) event.dataTransfer.dropEffect = 'copy';
  });
  addEventListener('drop', (event) => {
    if (barred(event)) event.preventDefault();
    const taken = wanted(event);
    end();
    if (taken) take(event.dataTransfer);
  });
}
