import { $, toast } from './dom.js';
import { toldText } from './acute.js';
import { reportText, withImpression } from './text.js';

/** Where an impression goes: the clipboard, the report. For files see export.js. */
export class Output {
  /**
   * @param {import('./writing.js').Writing} writing
   * @param {string | null} origin of the window that opened or embeds this page and takes impressions
   */
  constructor(writing, origin) {
    this.writing = writing;
    this.target = window.opener ?? (window.parent === window ? null : window.parent);
    this.origin = this.target && origin && /^https?:\/\/[^/]+$/.test(origin) ? origin : null;
    $('insert').title = this.origin ? `Insert into ${this.origin}` : 'Insert below the findings';
  }

  get #report() {
    return reportText(this.writing.text, toldText(this.writing.communication()));
  }

  async copy() {
    try {
      await navigator.clipboard.writeText(this.#report);
      this.#done('Copied');
    } catch {
      // The permission is missing, or the window has no focus. What can be done is to select it.
      $('edit').focus();
      $('edit').select();
      toast('The browser refused the clipboard. The text is selected: press Ctrl+C or ⌘C.');
    }
  }

  /** Into the window that asked for it, else below the findings, so that the report stands as a whole. */
  insert() {
    if (this.origin) {
      // To that origin and no other: the browser drops the message if another page is there now.
      this.target.postMessage({ type: 'radllama-impression', text: this.#report, ...this.writing.text, communication: this.writing.communication() }, this.origin);
      return this.#done(`Inserted into ${this.origin}`);
    }
    $('findings').value = withImpression($('findings').value, this.#report);
    $('findings').dispatchEvent(new Event('input'));
    $('findings').scrollTop = $('findings').scrollHeight;
    this.#done('Inserted below the findings');
  }

  #done(text) {
    this.writing.unsaved = false;
    toast(text);
  }
}
