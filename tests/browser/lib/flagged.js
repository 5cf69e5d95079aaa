// A report, an impression with an error of each kind, and what the double of the guard says of it.
export const FINDINGS =
  'Portable frontal view of the chest. Right tension pneumothorax with shift of the mediastinum to the left. ' +
  'Small left pleural effusion. Heart size is normal. 8 mm nodule in the right upper lobe. No focal consolidation. ' +
  'No acute bony abnormality.';
export const IMPRESSION =
  'Left tension pneumothorax. Small left pleural effusion. 12 mm nodule in the right upper lobe, stable. ' +
  'Pulmonary edema. Recommend chest CT.';
export const GUARD = {
  support: [
    ['pneumothorax', 'tension pneumothorax'], ['effusion', 'left pleural effusion'], ['nodule', 'nodule'], ['pneumothorax', 'shift'],
  ],
  flags: [
    {
      kind: 'side', severity: 'hard', words: 'Left tension', concept: 'tension_pneumothorax',
      message: 'tension pneumothorax: "left", but the findings name the other side',
      findings: 'Right tension pneumothorax with shift of the mediastinum to the left.',
    },
    { kind: 'measurement', severity: 'hard', words: '12 mm', message: 'the findings have no such measurement' },
    { kind: 'comparison', severity: 'soft', words: 'stable', message: 'compared with an examination that the findings do not know' },
    { kind: 'unsupported', severity: 'soft', words: 'Pulmonary edema', message: 'the findings do not mention pulmonary edema' },
    {
      kind: 'omission', severity: 'advisory', unless: 'shift', message: 'the findings have mediastinal shift, the impression does not',
      findings: 'Right tension pneumothorax with shift of the mediastinum to the left.',
    },
  ],
  acute: [{ concept: 'tension_pneumothorax', label: 'Tension pneumothorax' }],
};
