import { join, resolve } from 'node:path';

/** The repository's root. */
export const root = resolve(import.meta.dirname, '../../..');
/** Cargo's target directory. */
export const target = process.env.RADLLAMA_TARGET ?? join(root, 'target');
/** The assembled page. */
export const www = join(target, 'www');
/** Where screenshots go. */
export const screenshots = join(target, 'screenshots');
/** The native program. */
export const radllama = process.env.RADLLAMA_BIN ?? join(target, 'debug/radllama');
/** Where the Python packages of requirements.txt are. */
export const pythonPackages = process.env.RADLLAMA_PYTHON_PACKAGES ?? join(target, 'tools/python');
/** The browser. */
export const chromium = process.env.RADLLAMA_CHROMIUM ?? '/usr/bin/chromium';
/** The other browser. */
export const firefox = process.env.RADLLAMA_FIREFOX ?? '/usr/bin/firefox-esr';
/** The Vulkan drivers on the CPU, as ICD files. */
export const drivers = {
  lavapipe: process.env.RADLLAMA_LAVAPIPE_ICD ?? join(target, 'tools/lavapipe/icd.json'),
  swiftshader: process.env.RADLLAMA_SWIFTSHADER_ICD ?? '/usr/lib/chromium/vk_swiftshader_icd.json',
};
