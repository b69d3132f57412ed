/** What the person wants, complete and valid. It holds no secret. `deployment.yaml` is its written form. */
export interface Answers {
  name: string
  posture: Posture
  providers: Provider[]
  model: string
  /** What makes a coding agent's sandbox: this deployment, reached by ssh, or OpenClaw itself, by the engine's socket. */
  agentSandbox: 'ssh' | 'docker'
  /** The programs that a coding agent may start in its sandbox. */
  agentPrograms: string[]
  /** Debian packages that the sandbox has besides the usual ones. */
  agentPackages: string[]
  image: 'official' | 'reference' | 'build'
  version: string
  imageReference: string
  baseImage: string
  /** The Debian image that the containers beside the gateway are built on. */
  companionBase: string
  access: 'loopback' | 'ssh' | 'proxy'
  port: number
  firewall: boolean
  sshTarget: string
  proxyHost: string
  proxyCertificate: string
  proxyKey: string
  /** Whether the gateway reaches only named hosts, through the proxy, or everything. */
  egress: 'closed' | 'open'
  /** Hosts it may reach besides its providers; "*.example.org" is every name below. */
  egressHosts: string[]
  /** The name server the proxy asks; empty: Docker's. */
  egressResolver: string
  /** The kernel calls it may make: what OpenClaw needs, or what Docker allows everybody. */
  seccomp: 'fitted' | 'docker-default'
  /** Whether setup loads an AppArmor profile of the deployment's own. */
  apparmor: boolean
  store: 'docker' | 'vault' | '1password'
  /** Whether the Docker store encrypts its values with this machine's key. */
  seal: 'none' | 'host'
  vaultAddress: string
  vaultCa: string
  vaultNamespace: string
  vaultMount: string
  vaultPath: string
  vaultAuth: 'approle' | 'token' | 'jwt' | 'kubernetes'
  vaultAuthMount: string
  vaultRole: string
  onepasswordVault: string
  /** The file that holds what opens the store; empty: our own copy of it. */
  credentialFile: string
  /** Secrets beside the token and the providers' keys, by name. */
  extraSecrets: string[]
  memory: number
  cpus: number
  pids: number
  /** How much the state folder may take, and any one file in it. MiB. */
  stateLimit: number
  timezone: string
  contact: string
}

/** What the agent may do. `coding` runs commands in a sandbox of its own. */
export type Posture = 'chat' | 'workspace' | 'coding'

/** Where an agent's commands run. Without a word about it, in the deployment's own sandbox. */
export type Sandboxing = Pick<Answers, 'posture'> & Partial<Pick<Answers, 'agentSandbox'>>

/** Whether the deployment has a sandbox of its own, with the keys by which the gateway and it know each other. */
export function hasSandbox({ posture, agentSandbox = 'ssh' }: Sandboxing): boolean {
  return posture === 'coding' && agentSandbox === 'ssh'
}

/** Whether the gateway is handed the engine's socket, to make sandboxes by itself. */
export function hasSocket({ posture, agentSandbox }: Sandboxing): boolean {
  return posture === 'coding' && agentSandbox === 'docker'
}

/** A source of models. `api` is OpenClaw's name for the protocol; `url` is set for providers OpenClaw has no name for. */
export interface Provider {
  id: string
  url?: string
}

/** The secret that holds a provider's key. */
export function keySecretOf(provider: Provider): string {
  return `${provider.id.replaceAll('-', '_')}_api_key`
}

/** Whether the values lie elsewhere than in the folder that the gateway reads. */
export function isApart(answers: Pick<Answers, 'store' | 'seal'>): boolean {
  return answers.store !== 'docker' || answers.seal !== 'none'
}

/** Where the truth about the secrets lives, in words. */
export function placeOf(answers: Answers): string {
  switch (answers.store) {
    case 'docker':
      return answers.seal === 'none' ? 'Docker secret files' : 'Docker secret files, sealed by this machine'
    case 'vault':
      return `Vault at ${answers.vaultAddress}${answers.vaultNamespace === '' ? '' : `, namespace ${answers.vaultNamespace}`}, ${answers.vaultMount}/${answers.vaultPath}/*`
    case '1password':
      return `1Password, vault ${answers.onepasswordVault}`
  }
}
