import { at, record } from './tree.ts'

/** What a Compose file asks for its gateway, in one shape however it is written. `undefined`: it does not say. */
export interface Service {
  name: string
  image: string | undefined
  user: string | undefined
  ports: { address: string | undefined; outside: string; inside: string }[]
  mounts: { source: string; target: string; readOnly: boolean }[]
  environment: Record<string, string>
  /** Files whose variables would be added. */
  envFiles: string[]
  capDrop: string[]
  capAdd: string[]
  securityOpt: string[]
  readOnly: boolean
  /** Path to options. */
  tmpfs: Record<string, string>
  /** What the container would share with the machine, in words. */
  shared: string[]
  /** Bytes. */
  memory: number | undefined
  /** Bytes of memory and swap together. */
  memorySwap: number | undefined
  pids: number | undefined
  cpus: number | undefined
  coreLimit: number | undefined
  fileLimit: number | undefined
  logging: { driver: string; options: Record<string, unknown> } | undefined
  health: 'checked' | 'disabled' | 'left to the image'
}

/** Every service but one, by name. */
export function otherServices(composition: Record<string, unknown>, name: string): Service[] {
  return Object.entries(record(composition.services))
    .filter(([other]) => other !== name)
    .map(([other, service]) => readService(other, record(service)))
}

/** The gateway's service: the one of that name, else the one whose image is OpenClaw's, else the only one. */
export function gatewayService(composition: Record<string, unknown>): Service | undefined {
  const services = Object.entries(record(composition.services))
  const [name, service] = services.find(([key]) => key === 'openclaw-gateway') ??
    services.find(([, value]) => /openclaw/.test(String(at(value, 'image') ?? ''))) ??
    (services.length === 1 ? services[0] : undefined) ?? [undefined, undefined]
  return name === undefined ? undefined : readService(name, record(service))
}

function readService(name: string, service: Record<string, unknown>): Service {
  const limits = at(service, 'deploy', 'resources', 'limits')
  const ulimit = (kind: string) => {
    const value = at(service, 'ulimits', kind)
    return number(typeof value === 'object' ? at(value, 'hard') : value)
  }
  const logging = service.logging
  return {
    name,
    image: text(service.image),
    user: text(service.user),
    ports: list(service.ports).map(readPort),
    mounts: list(service.volumes).map(readMount),
    environment: pairs(service.environment),
    envFiles: list(service.env_file).map(file => text(file) ?? text(at(file, 'path')) ?? ''),
    capDrop: list(service.cap_drop).map(String),
    capAdd: list(service.cap_add).map(String),
    securityOpt: list(service.security_opt).map(String),
    readOnly: isTrue(service.read_only),
    tmpfs: Object.fromEntries(
      list(service.tmpfs).map(entry => {
        const [path = '', ...options] = String(entry).split(':')
        return [path, options.join(':')]
      }),
    ),
    shared: sharedWith(service),
    memory: bytes(service.mem_limit ?? at(limits, 'memory')),
    memorySwap: bytes(service.memswap_limit),
    pids: number(service.pids_limit ?? at(limits, 'pids')),
    cpus: number(service.cpus ?? at(limits, 'cpus')),
    coreLimit: ulimit('core'),
    fileLimit: ulimit('nofile'),
    logging:
      logging === undefined
        ? undefined
        : {
            driver: text(at(logging, 'driver')) ?? 'json-file',
            options: record(at(logging, 'options')),
          },
    health:
      service.healthcheck === undefined
        ? 'left to the image'
        : isTrue(at(service.healthcheck, 'disable')) || list(at(service.healthcheck, 'test'))[0] === 'NONE'
          ? 'disabled'
          : 'checked',
  }
}

/** "127.0.0.1:8080:80", "8080:80", "80", or the long form. */
function readPort(port: unknown): Service['ports'][number] {
  if (typeof port === 'object' && port !== null)
    return {
      address: text(at(port, 'host_ip')),
      outside: String(at(port, 'published') ?? ''),
      inside: String(at(port, 'target') ?? ''),
    }
  // From the right, because an IPv6 address has colons of its own.
  const parts = /^(?:(?:\[?([^\]]+?)\]?:)?([\d-]*):)?([\d-]+)(?:\/\w+)?$/.exec(String(port))
  return { address: parts?.[1], outside: parts?.[2] ?? '', inside: parts?.[3] ?? String(port) }
}

/** "./state:/home/node/.openclaw:ro", or the long form. */
function readMount(mount: unknown): Service['mounts'][number] {
  if (typeof mount === 'object' && mount !== null)
    return {
      source: String(at(mount, 'source') ?? ''),
      target: String(at(mount, 'target') ?? ''),
      readOnly: isTrue(at(mount, 'read_only')),
    }
  const [source = '', target = source, options = ''] = String(mount).split(':')
  return { source, target, readOnly: options.split(',').includes('ro') }
}

function sharedWith(service: Record<string, unknown>): string[] {
  const socket = list(service.volumes).some(volume =>
    /(docker|containerd|podman)\.sock/.test(JSON.stringify(volume)),
  )
  return [
    isTrue(service.privileged) ? 'privileged' : '',
    service.pid === 'host' ? 'the machine’s processes' : '',
    service.ipc === 'host' ? 'the machine’s shared memory' : '',
    service.uts === 'host' ? 'the machine’s host name' : '',
    service.userns_mode === 'host' ? 'the machine’s users' : '',
    service.network_mode === 'host' ? 'the machine’s network' : '',
    list(service.devices).length + list(service.device_cgroup_rules).length > 0 ? 'devices' : '',
    service.gpus === undefined ? '' : 'its graphics processors',
    list(service.volumes_from).length > 0 ? 'another container’s volumes' : '',
    socket ? 'an engine socket, which is root on this machine' : '',
  ].filter(found => found !== '')
}

/** Compose takes "true" in quotes for the same. */
function isTrue(value: unknown): boolean {
  return value === true || value === 'true'
}

function list(value: unknown): unknown[] {
  return Array.isArray(value) ? value : typeof value === 'string' ? [value] : []
}

function pairs(value: unknown): Record<string, string> {
  if (!Array.isArray(value))
    return Object.fromEntries(Object.entries(record(value)).map(([key, inner]) => [key, String(inner ?? '')]))
  return Object.fromEntries(
    value
      .map(String)
      .map(line => [
        line.split('=', 1)[0] ?? '',
        line.includes('=') ? line.slice(line.indexOf('=') + 1) : '',
      ]),
  )
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' || typeof value === 'number' ? String(value) : undefined
}

function number(value: unknown): number | undefined {
  const found = Number(text(value) ?? Number.NaN)
  return Number.isFinite(found) && found >= 0 ? found : undefined
}

/** "2048m", "2g", "1.5gb", or bytes (Compose file reference, "Byte values"). */
function bytes(value: unknown): number | undefined {
  const parts = /^(\d+(?:\.\d+)?)\s*([bkmg]?)b?$/i.exec(text(value) ?? '')
  if (parts === null) return undefined
  const size = Number(parts[1]) * 1024 ** 'bkmg'.indexOf((parts[2] || 'b').toLowerCase())
  return size === 0 ? undefined : size
}
