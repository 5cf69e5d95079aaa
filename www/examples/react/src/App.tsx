import { useRef, useState } from 'react';
import 'radllama/widget';
import type {} from 'radllama/react';
import type { RadiologyImpression } from 'radllama/widget';

/** Findings in React's hands, the impression in the widget's; its events bring it back. */
export function App() {
  const [findings, setFindings] = useState('Patchy opacity in the right lower lobe. No effusion.');
  const [impression, setImpression] = useState('');
  const [problem, setProblem] = useState<string | null>(null);
  const widget = useRef<RadiologyImpression>(null);
  return (
    <main>
      <h1>The widget in React</h1>
      <label htmlFor="findings">Findings</label>
      <textarea id="findings" value={findings} onChange={(event) => setFindings(event.target.value)} />
      <radiology-impression
        ref={widget}
        model="./weights/manifest.json"
        findings={findings}
        options={{ maxNewTokens: 64 }}
        onimpression={({ detail }) => {
          setProblem(null);
          setImpression(detail.text);
        }}
        onerror={({ detail }) => setProblem(detail.code)}
      />
      <p id="received">{problem ? `Failed: ${problem}` : impression}</p>
      <button type="button" onClick={() => widget.current?.stop()}>Stop from outside</button>
    </main>
  );
}
