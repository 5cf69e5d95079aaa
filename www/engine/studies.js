/**
 * Reader studies in the sealed worker: files are read, planned and analysed by the module, without a model. What is
 * handed out before a study ends names no system.
 */
import { studyBegin, studyFile, studyFindings, studyRatings, studyReport } from '../pkg/radllama.js';

/** A study for its reader. @param {{ name: string, bytes: Uint8Array, reader: string }} args */
export const beginStudy = ({ name, bytes, reader }) => studyBegin(name, bytes, reader);

/** The reports of a file of findings. @param {{ name: string, bytes: Uint8Array }} args */
export const readFindings = ({ name, bytes }) => studyFindings(name, bytes);

/** A study file. @param {{ title: string, seed: number, systems: string[], reports: object[] }} made */
export const makeStudy = (made) => studyFile(JSON.stringify(made));

/** A reader's file. @param {{ name: string, bytes: Uint8Array, reader: string, answers: object[] }} args */
export const readerFile = ({ name, bytes, reader, answers }) => studyRatings(name, bytes, reader, JSON.stringify(answers));

/**
 * The figures of readers' files.
 * @param {{ files: { name: string, bytes: Uint8Array }[], study?: string, title?: string }} args
 */
export const reportStudy = ({ files, study, title = '' }) =>
  studyReport(files.map(({ name }) => name), files.map(({ bytes }) => bytes), study, title);
