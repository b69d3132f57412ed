/** The container of a healthy gateway, as the engine tells of it. Loads nothing but what it needs: many suites use it. */
import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import type { Answers } from '../../src/deployment/answers.ts'
import { INSIDE, layoutOf } from '../../src/deployment/layout.ts'
import type { ContainerFacts } from '../../src/docker/engine.ts'
import { SANDBOX } from '../../src/gateway/sandbox.ts'
import { ANSWERS } from './support.ts'

export const PINNED = `ghcr.io/openclaw/openclaw@sha256:${'a'.repeat(64)}`
export const BORDER = `sha256:${'d'.repeat(64)}`
export const answers: Answers = { ...ANSWERS, contact: 'Zoë, +49 30 1234' }
export const layout = layoutOf('/srv/gateways/gw')
export const seccomp = readFileSync(
  resolve(import.meta.dirname, '../../templates/seccomp-profile.json'),
  'utf8',
)

export function container(): ContainerFacts {
  const mount = (Source: string, Destination: string, RW: boolean) => ({
    Type: 'bind',
    Source,
    Destination,
    RW,
  })
  return {
    Id: 'c0ffee',
    Name: '/my-gateway-openclaw-gateway-1',
    Image: `sha256:${'b'.repeat(64)}`,
    RestartCount: 0,
    State: {
      Status: 'running',
      Running: true,
      Paused: false,
      OOMKilled: false,
      ExitCode: 0,
      Pid: 4321,
      StartedAt: '2026-11-23T01:40:00.123456789Z',
      Health: { Status: 'healthy' },
    },
    Args: ['openclaw.mjs', 'gateway'],
    Config: {
      Image: PINNED,
      User: '1000:1000',
      Hostname: 'my-gateway',
      Env: [`HOME=${INSIDE.home}`, 'NODE_OPTIONS=--disable-sigusr1'],
      Labels: {
        'com.docker.compose.config-hash': 'f'.repeat(64),
        'com.docker.compose.service': 'openclaw-gateway',
      },
      WorkingDir: '/app',
    },
    HostConfig: {
      NetworkMode: 'my-gateway_inside',
      PidMode: '',
      IpcMode: 'private',
      UTSMode: '',
      UsernsMode: '',
      Privileged: false,
      ReadonlyRootfs: true,
      CapAdd: null,
      CapDrop: ['ALL'],
      SecurityOpt: ['no-new-privileges:true', `seccomp=${JSON.stringify(JSON.parse(seccomp))}`],
      Devices: null,
      GroupAdd: null,
      Dns: ['127.0.0.1'],
      Tmpfs: {
        '/tmp': 'rw,noexec,nosuid,nodev,size=512m,mode=1777',
        [INSIDE.cache]: 'rw,noexec,nosuid,nodev,size=64m,uid=1000,gid=1000,mode=0700',
      },
      Ulimits: [
        { Name: 'core', Soft: 0, Hard: 0 },
        { Name: 'nofile', Soft: 8192, Hard: 8192 },
      ],
      ShmSize: 64 * 1024 ** 2,
      Memory: 2048 * 1024 ** 2,
      MemorySwap: 2048 * 1024 ** 2,
      NanoCpus: 2e9,
      PidsLimit: 256,
      PortBindings: {},
      LogConfig: { Type: 'json-file', Config: { 'max-size': '10m', 'max-file': '5' } },
    },
    Mounts: [
      mount(layout.config, INSIDE.config, false),
      mount(layout.secrets, INSIDE.secrets, false),
      mount(layout.state, INSIDE.state, true),
    ],
    NetworkSettings: { Networks: { 'my-gateway_inside': {} }, Ports: {} },
    raw: '[{"Id":"c0ffee"}]',
  }
}

/** A container beside it. The ingress publishes the port. */
export function companion(service: 'ingress' | 'egress' | 'sandbox'): ContainerFacts {
  const gateway = container()
  const bindings =
    service === 'ingress' ? { '18789/tcp': [{ HostIp: '127.0.0.1', HostPort: String(answers.port) }] } : {}
  return {
    ...gateway,
    Id: service,
    Name: `/my-gateway-${service}-1`,
    Config: {
      ...gateway.Config,
      Labels: { ...gateway.Config.Labels, 'com.docker.compose.service': service },
    },
    HostConfig: {
      ...gateway.HostConfig,
      Memory: 128 * 1024 ** 2,
      MemorySwap: 128 * 1024 ** 2,
      PidsLimit: 64,
      NanoCpus: 1e9,
      PortBindings: bindings,
    },
    Mounts:
      service === 'sandbox'
        ? [
            { Type: 'bind', Source: layout.sandbox, Destination: SANDBOX.folder, RW: false },
            { Type: 'bind', Source: layout.sandboxWork, Destination: SANDBOX.work, RW: true },
          ]
        : [{ Type: 'bind', Source: layout.border, Destination: INSIDE.border, RW: false }],
    NetworkSettings: {
      Networks: {
        'my-gateway_inside': {},
        [`my-gateway_${{ ingress: 'front', egress: 'outside', sandbox: 'sandbox' }[service]}`]: {},
      },
      Ports: bindings,
    },
  }
}
