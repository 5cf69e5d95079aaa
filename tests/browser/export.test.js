/**
 * What `radllama export` writes, read and checked by programs that are not ours: FHIR by HL7's JSON schema for R4
 * and by Lantana's validator over HL7's profiles, HL7 v2 by hl7apy (HL7's structures of 2.5.1) and python-hl7, DICOM
 * by dciodvfy, DCMTK's dsrdump and pydicom, Markdown by commonmark.js. What goes in must come out of all of them.
 */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';

import * as commonmark from 'commonmark';

import { pythonPackages, radllama } from './lib/paths.js';
import { test } from './lib/test.js';

const require = createRequire(import.meta.url);
const { Fhir } = require('fhir');
const Schema = require('@asymmetrik/fhir-json-schema-validator');

const folder = mkdtempSync(join(tmpdir(), 'radllama-export-'));
after(() => rmSync(folder, { recursive: true }));

const TIME = '2026-11-27T10:30:00+01:00';
const HASH = { model: 'a1'.repeat(32), adapter: 'b2'.repeat(32) };

/** Texts that some format could trip over; as they should come back. */
const NASTY = [
  'Épanchement pleural gauche, œdème; 心臓は正常; ЭКГ; ½ × 3 µm ± 2 °C',
  'Emoji 🫁👩🏽‍⚕️, combining é ä, zero-width a\u200bb, soft\u00adhyphen, word\u2060joiner',
  'RTL: الرئتان صافيتان, marks \u200f\u202bשלום\u202c\u2067x\u2069',
  '|^~\\& || ^^ ~~ \\\\ && |^~\\&',
  '\\F\\ \\S\\ \\R\\ \\E\\ \\T\\ \\.br\\ \\X0D\\ \\H\\bold\\N\\ \\',
  'MSH|^~\\&|evil OBX|1|TX|||',
  '<b>&amp;</b> &lt; &#13; <script>alert(1)</script> ]]> <!-- -->',
  '"quotes" \'single\' {"json": [1, null]} \\n \\u0041 %0A %s ${x} $$x$$',
  '`code` ``` ~~~ **bold** _it_ __x__ [a](b) ![c](d) <https://e.f> | a | b |',
  '# heading',
  '- dash',
  '+ plus',
  '* star',
  '> quote',
  '1. one',
  '12) twelve',
  '=====',
  '---',
  '***',
  '___',
  ':-- | --:',
  '```',
  '[x]: y "z"',
  '~~~ fence',
  '= = =',
  '1.5 cm nodule; 3.2 x 4.1 cm.',
  'ends in a backslash \\',
  '\\',
  '&',
  '.',
  'a'.repeat(5000),
];

const full = {
  id: 'demo|1',
  accession: 'A-1^2',
  study_time: '2026-11-26T23:59:59-05:00',
  study_uid: '1.2.840.113619.2.1',
  time: TIME,
  patient: { id: 'P|1&2', family: "O'Weiß~Łuk", given: 'Zoë' },
  findings: 'Small left pneumothorax.\r\nHeart is normal.\r\rNo effusion.',
  impression: ['Small left pneumothorax, 1.2 cm.', 'No effusion.\nSecond line.'],
  recommendation: ['Radiograph in 6 hours.'],
  prior: 'Radiograph of May.',
  flags: [{ kind: 'measurement', severity: 'hard', line: 0, start: 26, end: 32, message: '1.2 cm is not in the findings' }],
  acute: [
    { concept: 'pneumothorax', label: 'Pneumothorax', certain: true, section: 'findings', start: 11, end: 23 },
    { concept: 'free_air', label: 'Free air', certain: false, section: 'impression', start: 0, end: 5 },
  ],
  communications: [{ concept: 'pneumothorax', label: 'Pneumothorax', who: 'Dr. Weiß | ward ^3', when: '2026-11-27T10:20:00+01:00', how: 'telephone & read back' }],
  provenance: { origin: 'edited', software: 'radllama', version: '9.9.9', model: 'Modèle | 1', model_sha256: [HASH.model], adapter: 'chest', adapter_sha256: HASH.adapter, written: '2026-11-27T10:10:00+01:00' },
};
const least = { impression: 'Normal.', time: TIME };
const TOLD = 'Pneumothorax: told to Dr. Weiß | ward ^3; when: 2026-11-27T10:20:00+01:00; how: telephone & read back.';
const UNTOLD = 'Free air (possible): no communication is recorded.';

let files = 0;
/** Exports a report by the program; the file's path. @param {object} report @param {string} format @param {string} ending */
function exported(report, format, ending) {
  const out = join(folder, `${++files}.${ending}`);
  execFileSync(radllama, ['export', '--format', format, '--out', out], { input: `${JSON.stringify(report)}\n` });
  return out;
}

/** What the Python parsers say of files. @param {string[]} paths */
function parsed(paths) {
  const script = join(import.meta.dirname, 'lib/read-exports.py');
  const run = { env: { ...process.env, PYTHONPATH: pythonPackages }, encoding: 'utf8', maxBuffer: 1 << 28, stdio: 'pipe' };
  return execFileSync('python3', [script, ...paths], run).trim().split('\n').map((line) => JSON.parse(line));
}

const fhir = new Fhir();
const schema = new Schema();
// Value sets that are given by a rule; Lantana's validator has only those that are a list.
const BY_RULE = /^Code "[\w-]+" \(http:\/\/(loinc\.org|terminology\.hl7\.org\/CodeSystem\/v2-0074)\) not found in value set$/;

function assertFhir(bundle) {
  assert.deepEqual(schema.validate(bundle), [], 'HL7’s schema');
  for (const resource of [bundle, ...bundle.entry.map(({ resource }) => resource)]) {
    const { valid, messages } = fhir.validate(resource, { errorOnUnexpected: true });
    const grave = messages.filter(({ severity, message }) => severity !== 'info' && !BY_RULE.test(message));
    assert.deepEqual(grave, [], resource.resourceType);
    assert.ok(valid);
  }
  // What a document must be beyond that (bdl-7, 9, 10, 11; documents.html): references lead to entries.
  assert.equal(bundle.entry[0].resource.resourceType, 'Composition');
  assert.ok(bundle.identifier.system && bundle.identifier.value && bundle.timestamp);
  const urls = bundle.entry.map(({ fullUrl }) => fullUrl);
  assert.equal(new Set(urls).size, urls.length);
  const references = [...JSON.stringify(bundle).matchAll(/"reference":"([^"]+)"/g)].map(([, url]) => url);
  for (const url of references) assert.ok(urls.includes(url), url);
  for (const url of urls) assert.ok(references.includes(url) || bundle.entry[0].fullUrl === url || isProvenance(bundle, url), url);
}
const isProvenance = (bundle, url) => bundle.entry.find(({ fullUrl }) => fullUrl === url).resource.resourceType === 'Provenance';
const read = (path) => JSON.parse(readFileSync(path, 'utf8'));
const of = (bundle, type) => bundle.entry.map(({ resource }) => resource).filter(({ resourceType }) => resourceType === type);
const observation = (bundle, code) => of(bundle, 'Observation').find((o) => o.code.coding[0].code === code);

test('a FHIR document with everything is one by HL7’s schema and profiles', () => {
  const bundle = read(exported(full, 'fhir', 'json'));
  assertFhir(bundle);
  const [composition] = of(bundle, 'Composition');
  assert.deepEqual(
    composition.section.map(({ code }) => code?.coding[0].code ?? null),
    ['18834-2', '59776-5', '19005-8', '18783-1', '73568-8', null, null],
  );
  const [report] = of(bundle, 'DiagnosticReport');
  assert.equal(report.status, 'preliminary');
  assert.equal(report.conclusion, 'Small left pneumothorax, 1.2 cm.\nNo effusion.\nSecond line.');
  assert.equal(report.effectiveDateTime, full.study_time);
  assert.equal(report.imagingStudy[0].identifier.value, 'urn:oid:1.2.840.113619.2.1');
  const [form] = report.presentedForm;
  const text = Buffer.from(form.data, 'base64').toString();
  assert.equal(form.contentType, 'text/plain; charset=utf-8');
  assert.equal(form.size, Buffer.byteLength(text));
  for (const line of [TOLD, UNTOLD, 'IMPRESSION:\n1. Small left']) assert.ok(text.includes(line), line);
  for (const labelled of [bundle, composition, report, observation(bundle, '19005-8')]) {
    assert.deepEqual(labelled.meta.security.map(({ code }) => code), ['AIAST']);
  }
  assert.equal(observation(bundle, '59776-5').meta, undefined, 'the findings are a person’s');
  assert.match(observation(bundle, '19005-8').note[0].text, /^Hard, measurement, line 1: /);
  const [told, ...others] = of(bundle, 'Communication');
  assert.equal(others.length, 0, 'nobody is said to have been told of the free air');
  assert.deepEqual([told.recipient[0].display, told.sent, told.medium[0].text, told.payload[0].contentString],
    ['Dr. Weiß | ward ^3', '2026-11-27T10:20:00+01:00', 'telephone & read back', TOLD]);
  assert.equal(of(bundle, 'Patient')[0].name[0].family, "O'Weiß~Łuk");
});

test('the Provenance names program, model and adapter by version and hash, and the person', () => {
  const bundle = read(exported(full, 'fhir', 'json'));
  const [provenance] = of(bundle, 'Provenance');
  const device = ({ who }) => bundle.entry.find(({ fullUrl }) => fullUrl === who.reference)?.resource ?? who.display;
  const agents = provenance.agent.map(device);
  assert.deepEqual(agents.map((agent) => agent.deviceName?.[0].name ?? agent), ['radllama', 'radllama', 'Modèle | 1', 'chest', 'The person who edited the draft']);
  assert.equal(agents[1].version[0].value, '9.9.9');
  assert.deepEqual([agents[2].identifier[0].value, agents[3].identifier[0].value], [HASH.model, HASH.adapter]);
  assert.equal(provenance.occurredDateTime, full.provenance.written);
  const generated = read(exported({ ...full, provenance: { ...full.provenance, origin: 'generated' } }, 'fhir', 'json'));
  assert.equal(of(generated, 'Provenance')[0].agent.length, 4, 'no person had a part');
  const person = read(exported({ ...least, provenance: { origin: 'person' } }, 'fhir', 'json'));
  assertFhir(person);
  assert.equal(JSON.stringify(person).includes('AIAST'), false);
});

test('an impression alone is a valid document, message and SR, with nothing made up', () => {
  const bundle = read(exported(least, 'fhir', 'json'));
  assertFhir(bundle);
  assert.equal(of(bundle, 'Patient').length, 0);
  assert.equal(of(bundle, 'Composition')[0].subject, undefined);
  const sr = exported(least, 'dicom', 'dcm');
  assertDicom(sr);
  const [message, dicom] = parsed([exported(least, 'hl7', 'hl7'), sr]);
  assert.equal(message.pid, null);
  assert.equal(message.obx.length, 1);
  assert.deepEqual([dicom.head.PatientName, dicom.head.PatientID, dicom.head.StudyDate], ['', '', '']);
});

test('an HL7 message has HL7’s structure, an OBX a line, and its texts come back', () => {
  const path = exported(full, 'hl7', 'hl7');
  const [message] = parsed([path]);
  assert.deepEqual(message.msh.slice(9), ['ORU^R01^ORU_R01', message.msh[10], 'T', '2.5.1', '', '', '', '', '', 'UNICODE UTF-8']);
  assert.ok(message.msh[10].length <= 20);
  assert.deepEqual([message.pid[3], message.pid[5]], ['P|1&2', "O'Weiß~Łuk^Zoë^^^^^L"]);
  assert.deepEqual([message.obr[3], message.obr[18], message.obr[25]], ['demo|1', 'A-1^2', 'P']);
  assert.deepEqual(message.obx.map(({ code, sub, type, text }) => [code, sub, type, text]), [
    ['18834-2', '1', 'TX', 'Radiograph of May.'],
    ['59776-5', '1', 'TX', 'Small left pneumothorax.'],
    ['59776-5', '2', 'TX', 'Heart is normal.'],
    ['59776-5', '3', 'TX', ''],
    ['59776-5', '4', 'TX', 'No effusion.'],
    ['19005-8', '1', 'TX', 'Small left pneumothorax, 1.2 cm.'],
    ['19005-8', '2', 'FT', 'No effusion.\nSecond line.'],
    ['18783-1', '1', 'TX', 'Radiograph in 6 hours.'],
    ['73568-8', '1', 'TX', TOLD],
    ['73568-8', '2', 'TX', UNTOLD],
  ]);
  for (const part of ['SHA-256 ' + HASH.model, 'SHA-256 ' + HASH.adapter, 'radllama 9.9.9', 'then edited by a person', 'line 1: 1.2 cm is not']) {
    assert.ok(message.nte.some((line) => line.includes(part)), part);
  }
  const bytes = readFileSync(path, 'utf8');
  assert.equal(bytes.includes('\n'), false, 'segments end with CR alone');
  assert.ok(bytes.endsWith('\r'));
  const [nameless] = parsed([exported({ ...least, patient: { id: '7' }, production: true }, 'hl7', 'hl7')]);
  assert.deepEqual([nameless.pid[3], nameless.pid[5], nameless.msh[11]], ['7', '~^^^^^^U', 'P']);
});

/** By two programs: the information object with its modules, and the tree of a structured report. */
function assertDicom(path) {
  const iod = spawnSync('dciodvfy', [path], { encoding: 'utf8' });
  assert.equal(iod.error, undefined);
  assert.match(iod.stderr, /^BasicTextSR$/m);
  assert.doesNotMatch(iod.stderr, /Error/);
  const tree = spawnSync('dsrdump', [path], { encoding: 'utf8' });
  assert.equal(tree.status, 0, tree.stderr);
  assert.doesNotMatch(tree.stderr, /^E:/m);
  return tree.stdout;
}

test('a DICOM SR passes dciodvfy and dsrdump, and pydicom finds every section', () => {
  const dicomFull = { ...full, accession: 'A-1' };
  const path = exported(dicomFull, 'dicom', 'dcm');
  assert.match(assertDicom(path), /Preliminary Flag {4}: PRELIMINARY/);
  const [sr] = parsed([path]);
  assert.equal(sr.class, 'Basic Text SR Storage');
  assert.deepEqual(sr.root, ['18748-4', 'LN']);
  assert.deepEqual(sr.sections.slice(0, 6), [
    [['18834-2', 'LN'], ['Radiograph of May.']],
    [['59776-5', 'LN'], ['Small left pneumothorax.\nHeart is normal.\n\nNo effusion.']],
    [['19005-8', 'LN'], full.impression],
    [['18783-1', 'LN'], full.recommendation],
    [['73568-8', 'LN'], [TOLD, UNTOLD]],
    [['CHECKS', '99RADLLAMA'], ['Hard, measurement, line 1: 1.2 cm is not in the findings']],
  ]);
  assert.ok(sr.sections[6][1].some((line) => line.includes(HASH.model)));
  assert.deepEqual(sr.head.PatientName, "O'Weiß~Łuk^Zoë");
  assert.equal(sr.head.StudyInstanceUID, full.study_uid);
  assert.equal(sr.head.StudyDate, '20261126');
  const [again, other] = parsed([exported(dicomFull, 'dicom', 'dcm'), exported({ ...dicomFull, prior: 'Radiograph of June.' }, 'dicom', 'dcm')]);
  assert.equal(again.head.SOPInstanceUID, sr.head.SOPInstanceUID, 'the same content is the same instance');
  assert.notEqual(other.head.SOPInstanceUID, sr.head.SOPInstanceUID);
});

const nasty = (text) => ({ ...least, id: 'n', findings: `${text}\n\n${text}`, impression: [text, `${text}\n${text}`, 'end'], recommendation: [text], prior: text, communications: [{ label: text, who: text, when: text, how: text }] });
const told = (text) => `${text}: told to ${text}; when: ${text}; how: ${text}.`;

test('nasty texts come back from FHIR as they went in', () => {
  const paths = NASTY.map((text) => exported(nasty(text), 'fhir', 'json'));
  const narratives = parsed(paths);
  NASTY.forEach((text, at) => {
    const bundle = read(paths[at]);
    assertFhir(bundle);
    assert.equal(observation(bundle, '59776-5').valueString, `${text}\n\n${text}`);
    assert.equal(observation(bundle, '19005-8').valueString, `${text}\n${text}\n${text}\nend`);
    assert.equal(observation(bundle, '18783-1').valueString, text);
    assert.equal(of(bundle, 'Communication')[0].payload[0].contentString, told(text));
    const [comparison, findings, impression] = narratives[at].sections;
    assert.deepEqual([comparison, findings, impression], [[text], [`${text}\n\n${text}`], [text, `${text}\n${text}`, 'end']]);
  });
});

test('nasty texts come back from HL7 as they went in', () => {
  const messages = parsed(NASTY.map((text) => exported(nasty(text), 'hl7', 'hl7')));
  NASTY.forEach((text, at) => {
    const lines = (code) => messages[at].obx.filter((obx) => obx.code === code).map((obx) => obx.text);
    assert.deepEqual(lines('59776-5'), [text, '', text]);
    assert.deepEqual(lines('19005-8'), [text, `${text}\n${text}`, 'end']);
    assert.deepEqual(lines('73568-8'), [told(text)]);
    assert.deepEqual([...new Set(messages[at].segments)], ['MSH', 'OBR', 'NTE', 'OBX']);
  });
});

test('nasty texts come back from DICOM as they went in', () => {
  const paths = NASTY.map((text) => exported(nasty(text), 'dicom', 'dcm'));
  const read = parsed(paths);
  NASTY.forEach((text, at) => {
    assertDicom(paths[at]);
    const section = (code) => read[at].sections.find(([[value]]) => value === code)[1];
    assert.deepEqual(section('59776-5'), [`${text}\n\n${text}`]);
    assert.deepEqual(section('19005-8'), [text, `${text}\n${text}`, 'end']);
    assert.deepEqual(section('73568-8'), [told(text)]);
  });
});

/** The text of a CommonMark document: heading → items, with breaks as they are shown. */
function markdown(path) {
  const sections = {};
  let title = '';
  let line = null;
  const walker = new commonmark.Parser().parse(readFileSync(path, 'utf8')).walker();
  for (let event = walker.next(); event; event = walker.next()) {
    const { node, entering } = event;
    const plain = ['document', 'heading', 'paragraph', 'list', 'item', 'text', 'linebreak'];
    assert.ok(plain.includes(node.type), `${node.type} came of plain text`);
    if ((node.type === 'heading' || node.type === 'paragraph') && entering) line = '';
    if (node.type === 'text') line += node.literal;
    if (node.type === 'linebreak') line += '\n';
    if (node.type === 'heading' && !entering) sections[(title = line)] = [];
    if (node.type === 'paragraph' && !entering) sections[title].push(line);
  }
  return sections;
}

test('nasty texts come back from Markdown as they went in', () => {
  for (const text of [...NASTY, '    indented']) {
    const given = text.trim();
    const sections = markdown(exported({ ...nasty(text), findings: `x\n${text}\n\n${text}` }, 'markdown', 'md'));
    assert.deepEqual(sections.Impression, [given, `${given}\n${text}`, 'end']);
    assert.deepEqual(sections.Findings, [`x\n${text}`, text]);
    assert.deepEqual(sections.Recommendation, [given]);
    assert.deepEqual(sections['Communication of critical results'], [told(given)]);
  }
  const sections = markdown(exported(full, 'markdown', 'md'));
  assert.deepEqual(sections['Communication of critical results'], [TOLD, UNTOLD]);
  assert.ok(sections.Provenance.some((line) => line.includes(HASH.adapter)));
});

test('plain text has every section', () => {
  const text = readFileSync(exported(full, 'text', 'txt'), 'utf8');
  for (const part of ['FINDINGS:\nSmall left pneumothorax.\nHeart is normal.\n\nNo effusion.\n', '\n2. No effusion.\n   Second line.\n', TOLD, UNTOLD, HASH.model, 'line 1: 1.2 cm']) {
    assert.ok(text.includes(part), part);
  }
});

test('all line breaks are one, all spaces too, and control characters are refused by place', () => {
  const breaks = '\ufeffa\r\nb\rc\u2028d\u2029e\u0085f\u000bg\u000ch\ti\u00a0j\u3000k\ufeffl';
  const bundle = read(exported({ ...least, findings: breaks }, 'fhir', 'json'));
  assert.equal(observation(bundle, '59776-5').valueString, 'a\nb\nc\nd\ne\nf\ng\nh i j k\u2060l');
  for (const format of ['text', 'markdown', 'fhir', 'hl7', 'dicom']) {
    for (const c of ['\0', '\x01', '\x08', '\x1b', '\x1c', '\x7f', '\x9b', '\ufffe']) {
      const out = join(folder, 'refused');
      const input = `${JSON.stringify({ ...least, id: 'r', findings: `Confidential${c}` })}\n`;
      const { status, stdout, stderr } = spawnSync(radllama, ['export', '--json', '--format', format, '--out', out], { input, encoding: 'utf8' });
      assert.equal(status, 1);
      const { failed, files } = JSON.parse(stdout);
      assert.deepEqual([files, failed[0].code], [[], 'bad_text']);
      assert.match(failed[0].message, /stdin, line 1: .*U\+[0-9A-F]{4} at character 13/);
      assert.doesNotMatch(stderr + stdout, /Confidential/);
    }
  }
});

test('the validators can fail', () => {
  const path = exported(full, 'fhir', 'json');
  const spoilt = (change) => {
    const bundle = read(path);
    change(bundle);
    assert.throws(() => assertFhir(bundle));
  };
  spoilt((bundle) => delete of(bundle, 'DiagnosticReport')[0].status);
  spoilt((bundle) => (of(bundle, 'DiagnosticReport')[0].status = 'draft'));
  spoilt((bundle) => (of(bundle, 'Composition')[0].section[0].note = 'x'));
  spoilt((bundle) => (of(bundle, 'Provenance')[0].agent[0].who.reference = 'urn:uuid:0'));
  const message = readFileSync(exported(full, 'hl7', 'hl7'), 'utf8');
  for (const [from, to] of [['OBR|1||', 'OBX|1||'], ['\rOBR', '\rPV1|1|\rOBR'], ['|ORU^R01^ORU_R01|', '|ORU^R01^ORU_R30|'], ['||P\\F\\1\\T\\2|', '|||']]) {
    assert.ok(message.includes(from), from);
    const bad = join(folder, 'bad.hl7');
    writeFileSync(bad, message.replace(from, to));
    assert.throws(() => parsed([bad]), undefined, to);
  }
  const sr = readFileSync(exported(least, 'dicom', 'dcm'));
  const bad = join(folder, 'bad.dcm');
  writeFileSync(bad, Buffer.from(sr.toString('latin1').replace('UNVERIFIED', 'UNHEARD_OF').replaceAll('CONTAINS', 'INFERRED'), 'latin1'));
  assert.throws(() => assertDicom(bad));
});
