import { type Answers, keySecretOf } from '../deployment/answers.ts'
import { choice, isLoopbackHost, isPlainPath, list, text } from './kinds.ts'
import { always, define, never, type Partly } from './question.ts'

const inVault = (answers: Partly) => answers.store === 'vault'
const inOnePassword = (answers: Partly) => answers.store === '1password'

/** Segments of a path in Vault's API: nothing there has to be encoded, and none leads upwards. */
const isApiPath = (value: string) =>
  /^[A-Za-z0-9][A-Za-z0-9_-]*(\/[A-Za-z0-9][A-Za-z0-9_-]*){0,7}$/.test(value)
const API_PATH = 'letters, digits, _ and -, with / between'

/** Where the truth about secrets lives, and how that place is reached. What opens it is a secret, and no answer. */
export const STORE_QUESTIONS = [
  define({
    id: 'store',
    flag: '--store',
    path: ['secrets', 'store'],
    group: 'Secrets',
    prompt: 'Where do the secrets live?',
    help: 'where the truth about secrets lives',
    kind: choice<Answers['store']>('<store>', [
      { value: 'docker', label: 'Docker secret files', hint: 'here; no server to set up' },
      { value: 'vault', label: 'HashiCorp Vault or OpenBao', hint: 'KV version 2' },
      { value: '1password', label: '1Password', hint: 'with a service account' },
    ]),
    fallback: () => 'docker',
  }),
  define({
    id: 'seal',
    flag: '--seal',
    path: ['secrets', 'seal'],
    group: 'Secrets',
    prompt: 'Encrypt what the store keeps here with this machine’s key (systemd-creds)?',
    help: 'encrypts the values in the Docker store at rest with systemd credentials; what the gateway reads stays a 0400 file',
    kind: choice<Answers['seal']>('<seal>', [
      { value: 'none', label: 'No', hint: '0400 files' },
      { value: 'host', label: 'Yes', hint: 'needs systemd-creds, and root' },
    ]),
    fallback: () => 'none',
    when: answers => answers.store === 'docker',
    needs: '--store docker',
    advanced: always,
  }),
  define({
    id: 'vaultAddress',
    flag: '--vault-address',
    path: ['secrets', 'vault', 'address'],
    group: 'Secrets',
    prompt: 'Where is Vault? (https://host:8200)',
    help: 'address of Vault or OpenBao',
    kind: text('https://HOST[:PORT] (http only to this machine)', '<url>', isServerUrl),
    fallback: answers => (inVault(answers) ? undefined : never()),
    when: inVault,
    needs: '--store vault',
    hides: value => value.replace(/\/\/[^/\s]*@/, '//(not shown)@'),
  }),
  define({
    id: 'vaultCa',
    flag: '--vault-ca',
    path: ['secrets', 'vault', 'ca'],
    group: 'Secrets',
    prompt: 'Which CA signed its certificate? (PEM file; empty for the ones this system trusts)',
    help: 'CA of its certificate (PEM); empty: the ones this system trusts',
    kind: text(
      'an absolute path of letters, digits and . _ - /, or empty',
      '<path>',
      value => value === '' || isPlainPath(value),
    ),
    fallback: never,
    when: inVault,
    needs: '--store vault',
  }),
  define({
    id: 'vaultNamespace',
    flag: '--vault-namespace',
    path: ['secrets', 'vault', 'namespace'],
    group: 'Secrets',
    prompt: 'In which namespace? (empty for none)',
    help: 'namespace, where the server has some',
    kind: text(`${API_PATH}, or empty`, '<namespace>', value => value === '' || isApiPath(value)),
    fallback: never,
    when: inVault,
    needs: '--store vault',
    advanced: always,
  }),
  define({
    id: 'vaultMount',
    flag: '--vault-mount',
    path: ['secrets', 'vault', 'mount'],
    group: 'Secrets',
    prompt: 'At which mount is KV version 2?',
    help: 'mount of the KV version 2 engine',
    kind: text(API_PATH, '<mount>', isApiPath),
    fallback: answers => (inVault(answers) ? 'secret' : never()),
    when: inVault,
    needs: '--store vault',
    advanced: always,
  }),
  define({
    id: 'vaultPath',
    flag: '--vault-path',
    path: ['secrets', 'vault', 'path'],
    group: 'Secrets',
    prompt: 'Below which path?',
    help: 'path below which the secrets lie, one document each',
    kind: text(API_PATH, '<path>', isApiPath),
    fallback: answers => (inVault(answers) ? `openclaw/${answers.name ?? 'gateway'}` : never()),
    when: inVault,
    needs: '--store vault',
    advanced: always,
  }),
  define({
    id: 'vaultAuth',
    flag: '--vault-auth',
    path: ['secrets', 'vault', 'auth'],
    group: 'Secrets',
    prompt: 'How does this machine log in?',
    help: 'how this machine logs in to Vault',
    kind: choice<Answers['vaultAuth']>('<method>', [
      { value: 'approle', label: 'AppRole', hint: 'a role id and a secret id' },
      { value: 'token', label: 'A token', hint: 'that somebody else renews' },
      { value: 'jwt', label: 'JWT', hint: 'a file that is renewed here' },
      { value: 'kubernetes', label: 'Kubernetes', hint: 'the service account’s token' },
    ]),
    fallback: () => 'approle',
    when: inVault,
    needs: '--store vault',
    advanced: always,
  }),
  define({
    id: 'vaultAuthMount',
    flag: '--vault-auth-mount',
    path: ['secrets', 'vault', 'authMount'],
    group: 'Secrets',
    prompt: 'At which mount is that method?',
    help: 'mount of the login method',
    kind: text(API_PATH, '<mount>', isApiPath),
    fallback: answers => (logsIn(answers) ? (answers.vaultAuth ?? 'approle') : never()),
    when: logsIn,
    needs: '--store vault and a --vault-auth other than token',
    advanced: always,
  }),
  define({
    id: 'vaultRole',
    flag: '--vault-role',
    path: ['secrets', 'vault', 'role'],
    group: 'Secrets',
    prompt: 'As which role? (AppRole: the role id)',
    help: 'role to log in as; for AppRole its role id',
    kind: text('1 to 128 of letters, digits, . _ and -', '<role>', value => /^[\w.-]{1,128}$/.test(value)),
    fallback: (answers, place) => (logsIn(answers) ? place.newRole : never()),
    when: logsIn,
    needs: '--store vault and a --vault-auth other than token',
  }),
  define({
    id: 'onepasswordVault',
    flag: '--onepassword-vault',
    path: ['secrets', 'onepassword', 'vault'],
    group: 'Secrets',
    prompt: 'In which 1Password vault?',
    help: 'id of the 1Password vault',
    kind: text('the id of a vault: 26 letters and digits', '<id>', value => /^[a-z2-7]{26}$/.test(value)),
    fallback: answers => (inOnePassword(answers) ? undefined : never()),
    when: inOnePassword,
    needs: '--store 1password',
  }),
  define({
    id: 'credentialFile',
    flag: '--credential-file',
    path: ['secrets', 'credentialFile'],
    group: 'Secrets',
    prompt: 'In which file is what opens the store? (empty: this tool keeps it)',
    help: 'file with what opens the store, read each time; empty: what --store-credential gave is kept',
    kind: text(
      'an absolute path of letters, digits and . _ - /, or empty',
      '<path>',
      value => value === '' || isPlainPath(value),
    ),
    fallback: answers =>
      inVault(answers) && answers.vaultAuth === 'kubernetes'
        ? '/var/run/secrets/kubernetes.io/serviceaccount/token'
        : never(),
    when: answers => answers.store !== 'docker',
    needs: '--store vault or 1password',
    advanced: always,
  }),
  define({
    id: 'extraSecrets',
    flag: '--secret',
    path: ['secrets', 'also'],
    group: 'Secrets',
    prompt: 'Which further secrets does the configuration refer to? (names; empty for none)',
    help: 'further secret by name, repeatable: kept, delivered and rotated like the others; its value comes with --secret-value',
    kind: list(
      text('1 to 63 of a-z, 0-9 and _, starting with a letter', '<name>', value =>
        /^[a-z][a-z0-9_]{0,62}$/.test(value),
      ),
      value => value,
    ),
    fallback: () => [],
    advanced: always,
    refuses: (names, answers) => {
      const taken = [
        'gateway_token',
        'proxy_password',
        'default',
        ...(answers.providers ?? []).map(keySecretOf),
      ]
      const clash = names.find(name => taken.includes(name))
      return clash === undefined ? undefined : `other names than ${clash}, which is a secret already`
    },
  }),
] as const

function logsIn(answers: Partly): boolean {
  return inVault(answers) && answers.vaultAuth !== 'token'
}

/** An address that secrets may be sent to: https, or http that does not leave this machine; no path, user or query. */
function isServerUrl(value: string): boolean {
  if (!/^https?:\/\/[A-Za-z0-9.:[\]-]+\/?$/.test(value) || !URL.canParse(value)) return false
  const url = new URL(value)
  if (url.username !== '' || url.hostname === '') return false
  return url.protocol === 'https:' || isLoopbackHost(url.hostname)
}
