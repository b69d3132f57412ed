/** Builds the live environment's gateway image with the product's own Dockerfile. Prints its name. */
import { Docker } from '../../src/docker/engine.ts'
import { processRunner } from '../../src/docker/process.ts'
import { imageLabel, obtainImage } from '../../src/gateway/image.ts'
import { Redactor } from '../../src/secret.ts'
import { OPENCLAW_VERSION } from '../../src/wizard/questions.ts'

const baseImage = process.argv[process.argv.indexOf('--base') + 1]
if (baseImage === undefined || !process.argv.includes('--base'))
  throw new Error('usage: gateway-image --base IMAGE')
const answers = { image: 'build', version: OPENCLAW_VERSION, imageReference: '', baseImage } as const
if (process.argv.includes('--print')) process.stdout.write(`${imageLabel(answers)}\n`)
else {
  const docker = new Docker(processRunner(new Redactor(), process.env))
  const image = await obtainImage(docker, answers, {
    signal: AbortSignal.timeout(900_000),
    onLine: line => process.stderr.write(`${line}\n`),
  })
  process.stdout.write(`${image.label}\n`)
}
