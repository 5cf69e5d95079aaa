/**
 * What a user can do about an error, by its code. The engine's own message says what was wrong; this
 * says where on this page the way out is.
 * @type {Record<string, string>}
 */
export const ADVICE = {
  empty_findings: 'Type or paste the findings on the left, or choose a sample report.',
  prompt_too_long:
    'Nothing was cut off and nothing was lost. Shorten the findings or take out the prior report, and write again. A model with a longer context can be chosen above.',
  device_lost: 'Your text is kept. One press loads the model again and goes on.',
  out_of_memory: 'Close other tabs and programs that use the graphics processor, or choose a smaller model above, and try again.',
  network: 'What has arrived is kept; the next try goes on there.',
  hash_mismatch: 'The file is not the one that its manifest promises. If it stays so, tell whoever runs this page.',
  not_gguf: 'Choose a GGUF file; its name ends in .gguf.',
  split_mismatch: 'Choose all parts of the same model together.',
  other_base: 'The model stays as it was. Choose an adapter that was trained on this base.',
  bad_adapter: 'The model stays as it was. Choose the two files that PEFT wrote.',
  bad_text: 'Take the characters out that cannot be read, and write again.',
};

/** Codes after which the model has to be loaded again. */
export const RELOADS = new Set(['device_lost', 'internal']);
