/** Builds the live environment's images with the product's own Dockerfiles. Prints their names. */
import { Docker } from '../../src/docker/engine.ts'
import { processRunner } from '../../src/docker/process.ts'
import {
  borderRecipe,
  gatewaySshRecipe,
  imageLabel,
  nameForBuilder,
  obtainBuilt,
  obtainImage,
  sandboxRecipe,
} from '../../src/gateway/image.ts'
import { USUAL_PROGRAMS } from '../../src/gateway/sandbox.ts'
import { Redactor } from '../../src/secret.ts'
import { OPENCLAW_VERSION } from '../../src/wizard/questions.ts'

const baseImage = process.argv[process.argv.indexOf('--base') + 1]
if (baseImage === undefined || !process.argv.includes('--base'))
  throw new Error('usage: gateway-image --base IMAGE')
const answers = { image: 'build', version: OPENCLAW_VERSION, imageReference: '', baseImage } as const
const border = borderRecipe({ companionBase: baseImage })
if (process.argv.includes('--print')) process.stdout.write(`${imageLabel(answers)}\n${border.label}\n`)
else {
  const docker = new Docker(processRunner(new Redactor(), process.env))
  const options = {
    signal: AbortSignal.timeout(900_000),
    onLine: (line: string) => process.stderr.write(`${line}\n`),
  }
  const gateway = await obtainImage(docker, answers, options)
  const user = (await docker.image(gateway.pinned))?.Config.User ?? ''
  const recipes = [
    border,
    gatewaySshRecipe(gateway, user),
    sandboxRecipe({ companionBase: baseImage, agentPrograms: [...USUAL_PROGRAMS], agentPackages: [] }),
  ]
  await nameForBuilder(docker, gateway)
  process.stdout.write(`${gateway.label}\n`)
  for (const recipe of recipes)
    process.stdout.write(`${(await obtainBuilt(docker, recipe, options)).label}\n`)
}
