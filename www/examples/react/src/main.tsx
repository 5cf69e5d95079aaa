import { createElement } from 'react';
// @ts-ignore: react-dom's types are not needed for one call
import { createRoot } from 'react-dom/client';
import { App } from './App.tsx';

createRoot(document.getElementById('root')).render(createElement(App));
