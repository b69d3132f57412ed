import { relative, resolve } from 'node:path'
import type { SetupContext } from '../../steps/setup/context.ts'
import { type Answers, isApart, placeOf } from '../deployment/answers.ts'
import { addressOf, sshTunnel } from '../deployment/plan.ts'
import { GATEWAY_TOKEN, secretFileName } from '../gateway/policy.ts'
import { asArguments } from '../wizard/gather.ts'
import type { Place } from '../wizard/question.ts'

/** What the person needs now. The token's place, never the token. */
export function handOver(
  answers: Answers,
  context: SetupContext,
  directory: string,
  launched: boolean,
  place: Place,
  cwd: string,
): string {
  const token = context.found.secrets?.find(secret => secret.name === GATEWAY_TOKEN)
  const tokenFile =
    token === undefined ? 'secrets/' : relative(cwd, resolve(context.layout.secrets, secretFileName(token)))
  const tunnel = sshTunnel(answers)
  const keys = [
    ...answers.providers.flatMap(provider => ['--provider-key', `${provider.id}=@FILE`]),
    ...answers.extraSecrets.flatMap(name => ['--secret-value', `${name}=@FILE`]),
    ...(answers.store === 'docker' || answers.credentialFile !== '' ? [] : ['--store-credential', '@FILE']),
  ]
  const repeat = [
    'npx',
    'create-openclaw-secure',
    directory,
    ...(launched ? [] : ['--no-launch']),
    ...asArguments(answers, place),
    ...keys,
    '--yes',
  ]
  const inFolder = directory === '.' ? '' : ` --dir ${quote(directory)}`
  return [
    '',
    ...(launched
      ? [`The gateway runs at ${addressOf(answers)}`]
      : ['Rendered, not started. Start it: run the same command without --no-launch.']),
    `Its token is in ${tokenFile} (cat it; it is not shown here)`,
    ...(isApart(answers) ? [`The truth about its secrets: ${placeOf(answers)}`] : []),
    ...(tunnel === undefined ? [] : [`From elsewhere: ${tunnel}`]),
    ...(answers.access === 'proxy'
      ? [`nginx: see "nginx" in ${relative(cwd, resolve(context.layout.root, 'README.md')) || 'README.md'}`]
      : []),
    `Prove it again at any time: npx create-openclaw-secure verify${inFolder}`,
    '',
    'The same without questions:',
    `  ${repeat.map(quote).join(' ')}`,
    '',
  ].join('\n')
}

/** An argument as a POSIX shell reads it. */
function quote(argument: string): string {
  return /^[A-Za-z0-9_./:=@%+,-]+$/.test(argument) ? argument : `'${argument.replaceAll("'", `'\\''`)}'`
}
