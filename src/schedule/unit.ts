import { dirname } from 'node:path'
import { parseJson } from '../json.ts'
import { type Order, unwritable } from './port.ts'

/** What the units hide by an empty folder in its place (templates/rotate.service.hbs). */
const HIDDEN = ['/root', '/home', '/run/user', '/tmp', '/var/tmp', '/dev/shm']

const USUAL_PATH = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin']

/**
 * All addresses of IPv4 and IPv6 but the link-local ones, where clouds hand out credentials to whoever asks, and those
 * that are nobody's. systemd.resource-control(5): what is allowed wins over what is denied, so the gap has to be cut out.
 */
const ANYWHERE =
  '1.0.0.0/8 2.0.0.0/7 4.0.0.0/6 8.0.0.0/5 16.0.0.0/4 32.0.0.0/3 64.0.0.0/2 128.0.0.0/3 160.0.0.0/5 168.0.0.0/8 ' +
  '169.0.0.0/9 169.128.0.0/10 169.192.0.0/11 169.224.0.0/12 169.240.0.0/13 169.248.0.0/14 169.252.0.0/15 169.255.0.0/16 ' +
  '170.0.0.0/7 172.0.0.0/6 176.0.0.0/4 192.0.0.0/3 ::1/128 2000::/3 fc00::/7'

/** What tells a unit of this deployment from one of another deployment of the same name. systemd reads over it. */
const MARK = 'X-Deployment='

/** The folder of the deployment that a unit was made for; undefined when we have not made it. */
export function rootIn(text: string): string | undefined {
  const line = text.split('\n').find(one => one.startsWith(MARK))
  const root = line === undefined ? undefined : parseJson(line.slice(MARK.length))
  return typeof root === 'string' ? root : undefined
}

/** What the templates of the units are filled with. Errors: `schedule_path`. */
export function valuesOf(order: Order, more: readonly (readonly string[])[] = []): Record<string, unknown> {
  const { layout, command, credential, docker, socket } = order
  const [node, bin, ...args] = command
  const isHidden = (path: string) => HIDDEN.some(folder => path.startsWith(`${folder}/`))
  const hidden = [node, ...(docker === undefined ? [] : [docker]), ...order.reads].filter(isHidden)
  const folders = docker === undefined ? USUAL_PATH : [...new Set([dirname(docker), ...USUAL_PATH])]
  const environment = { ...order.environment, PATH: folders.join(':') }
  const assigned = (all: Record<string, string>) =>
    Object.entries(all).map(([name, value]) => word(`${name}=${value}`))
  return {
    name: order.name,
    monthly: order.every === 'monthly',
    mark: `${MARK}${JSON.stringify(layout.root)}`,
    commands: [[node, bin, ...args], ...more].map(commandLine),
    environment: assigned(environment),
    home: word(`HOME=${order.home}`),
    root: word(layout.root),
    hidden: hidden.map(path => word(path)),
    programs: hidden.filter(path => path === node || path === docker).map(path => word(path)),
    dockerConfig: word(`-${order.dockerConfig}`),
    // It may be made anew, by an engine that is started later.
    socket: socket !== undefined && isHidden(socket) ? word(`-${socket}`) : '',
    credential: credential === undefined ? '' : `${credential.id}:${rest(credential.path)}`,
    addresses: order.isLocal ? 'localhost' : ANYWHERE,
    isLocal: order.isLocal,
  }
}

/**
 * One word of a list in a unit file (systemd.syntax(7), "Quoting"): what has a meaning there is escaped. Errors:
 * `schedule_path`, for what no unit file can hold.
 */
export function word(text: string): string {
  return `"${withoutControls(text).replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('%', '%%')}"`
}

/** A setting that is taken as it stands to the end of the line; only specifiers have a meaning. Errors: `schedule_path`. */
export function rest(text: string): string {
  if (/^\s|\s$|\\$/.test(text)) throw unwritable(text, 'systemd')
  return withoutControls(text).replaceAll('%', '%%')
}

function withoutControls(text: string): string {
  if (/\p{Cc}|\ufffd/u.test(text)) throw unwritable(text, 'systemd')
  return text
}

/** The program itself is no place for variables, and so has no `$` to be doubled (systemd.service(5)). */
function commandLine([program = '', ...args]: readonly string[]): string {
  return [word(program), ...args.map(part => word(part).replaceAll('$', '$$$$'))].join(' ')
}
