import tailwind from '@tailwindcss/vite'
import react from '@vitejs/plugin-react'
import { defineConfig } from 'vitest/config'

const brain = 'http://127.0.0.1:7440'

export default defineConfig({
  // Relative asset addresses: the brain puts its path prefix into <base href>.
  base: './',
  plugins: [react(), tailwind()],
  build: { target: 'es2023', sourcemap: false },
  server: { proxy: { '/api': brain, '/signin': brain } },
  // One jsdom for all files: building one for each takes longer than the tests.
  test: { environment: 'jsdom', isolate: false, unstubGlobals: true, setupFiles: ['src/test-setup.ts'] },
})
