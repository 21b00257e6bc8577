import webpack from 'webpack'

const config = {
  mode: 'production',
  entry: './webpack/main.js',
  output: { path: `${process.cwd()}/webpack/dist` },
  // The wasm is bigger than what webpack finds acceptable without a word.
  performance: { assetFilter: name => !name.endsWith('.wasm') },
}

webpack(config).run((error, stats) => {
  if (error) throw error
  console.log(stats.toString())
  process.exitCode = stats.hasErrors() || stats.hasWarnings() ? 1 : 0
})
