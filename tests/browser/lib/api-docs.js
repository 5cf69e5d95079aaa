// The API reference, made from the types. `node lib/api-docs.js` writes docs/api.md.
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { root } from './paths.js';

const HEAD = `# API reference of the package radllama

Made from www/index.d.ts and www/widget.d.ts by \`node tests/browser/lib/api-docs.js\`; a test sees that it is current.

`;

/** The text of docs/api.md. */
export function apiDocs() {
  const out = mkdtempSync(join(tmpdir(), 'radllama-api-'));
  const www = join(root, 'www');
  try {
    const config = join(out, 'tsconfig.json');
    const compilerOptions = { strict: true, target: 'es2023', lib: ['es2023', 'dom', 'dom.iterable'], module: 'nodenext', types: [] };
    const files = ['index.d.ts', 'widget.d.ts'].map((file) => join(www, file));
    writeFileSync(config, JSON.stringify({ compilerOptions, files }));
    const args = [
      join(import.meta.dirname, '../node_modules/typedoc/bin/typedoc'), '--tsconfig', config,
      '--plugin', join(import.meta.dirname, '../node_modules/typedoc-plugin-markdown/dist/index.js'), '--out', join(out, 'md'), '--outputFileStrategy', 'modules',
      '--readme', 'none', '--hidePageHeader', '--hideBreadcrumbs', '--disableSources', '--excludeExternals',
      '--name', 'radllama', '--logLevel', 'Error', '--useCodeBlocks', '--mergeReadme', 'false',
      '--parametersFormat', 'table', '--propertiesFormat', 'list', ...files.flatMap((file) => ['--entryPoints', file]),
    ];
    execFileSync(process.execPath, args, { cwd: out, stdio: 'pipe' });
    const part = (name, title) =>
      readFileSync(join(out, 'md', `${name}.md`), 'utf8')
        .replace(/^# .*\n/, `# ${title}\n`)
        .replaceAll(/^(#+) /gm, '#$1 ')
        .replaceAll(/^#{7,} (.*)$/gm, '**$1**') // Markdown knows six levels
        .replaceAll(/\]\((index|widget)\.md(#[^)]*)?\)/g, (_, name, anchor) => `](${anchor ?? `#${name}`})`)
        .trim();
    return `${HEAD}${part('index', 'radllama')}\n\n${part('widget', 'radllama/widget')}\n`;
  } catch (error) {
    throw new Error(`typedoc failed: ${error.stdout ?? ''}${error.stderr ?? error.message}`);
  } finally {
    rmSync(out, { recursive: true, force: true });
  }
}

if (process.argv[1] === import.meta.filename) {
  mkdirSync(join(root, 'docs'), { recursive: true });
  writeFileSync(join(root, 'docs/api.md'), apiDocs());
}
