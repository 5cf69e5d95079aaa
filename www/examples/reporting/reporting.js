/**
 * A reporting screen that knows nothing of models: it keeps its own form, and takes the widget's text
 * when its event says that there is one. Patients and reports are invented.
 */
import '../../widget/widget.js';

const STUDIES = [
  {
    title: 'Chest, two views', patient: 'Example, Ada', age: '67 y', id: 'NL-0412', reason: 'Cough and fever',
    findings:
      'There is a patchy airspace opacity in the right lower lobe. Small right pleural effusion. The left lung is ' +
      'clear. Heart size is normal. No pneumothorax. Mild degenerative change of the thoracic spine.',
  },
  {
    title: 'Chest, portable', patient: 'Example, Bo', age: '54 y', id: 'NL-0413', reason: 'Line placement',
    findings:
      'Right internal jugular catheter with its tip at the cavoatrial junction. No pneumothorax. Low lung volumes ' +
      'with bibasilar atelectasis. The heart is mildly enlarged. No pleural effusion.',
  },
  {
    title: 'Chest, two views', patient: 'Example, Cy', age: '29 y', id: 'NL-0414', reason: 'Pre-employment',
    findings: 'The lungs are clear. Heart size and mediastinal contours are normal. No effusion. Bones are intact.',
  },
];

const $ = (id) => document.getElementById(id);
const assistant = $('assistant');

function open(study) {
  $('report').reset();
  assistant.stop();
  assistant.value = '';
  $('title').textContent = study.title;
  $('badge').textContent = 'Draft';
  $('findings').value = study.findings;
  $('message').value = '';
  $('take').disabled = true;
  const facts = { Patient: study.patient, Age: study.age, Accession: study.id, Indication: study.reason };
  $('facts').replaceChildren(...Object.entries(facts).map(([term, value]) => {
    const row = document.createElement('div');
    const [dt, dd] = [document.createElement('dt'), document.createElement('dd')];
    dt.textContent = term;
    dd.textContent = value;
    row.append(dt, dd);
    return row;
  }));
  for (const button of $('studies').querySelectorAll('button')) {
    button.setAttribute('aria-current', String(button.dataset.id === study.id));
  }
}

function takeOver() {
  $('impression').value = assistant.value;
  $('message').value = assistant.edited ? 'Taken over, as edited.' : 'Taken over from the model: please check it.';
  $('impression').focus();
}

assistant.addEventListener('impression', ({ detail }) => {
  $('take').disabled = detail.text === '';
  // An empty field is filled at once; the reader's own words are theirs to replace.
  if ($('impression').value.trim() === '' && detail.result.stop === 'eos') takeOver();
});
assistant.addEventListener('error', ({ detail }) => ($('message').value = `No suggestion (${detail.code}).`));
$('take').addEventListener('click', takeOver);
$('report').addEventListener('submit', (event) => {
  event.preventDefault(); // a RIS would send it to its own server here
  $('badge').textContent = 'Signed';
  $('message').value = `Signed with ${new FormData(event.target).get('impression').length} characters of impression.`;
});

for (const study of STUDIES) {
  const item = document.createElement('li');
  const button = document.createElement('button');
  button.type = 'button';
  button.dataset.id = study.id;
  const [name, what] = [document.createElement('b'), document.createElement('span')];
  name.textContent = study.patient;
  what.textContent = `${study.title} · ${study.id}`;
  button.append(name, what);
  button.addEventListener('click', () => open(study));
  item.append(button);
  $('studies').append(item);
}
open(STUDIES[0]);
