import { THROWAWAY_LABEL } from './engine.ts'

/** A preserved image, opened to be looked at. */
export interface Analysis {
  /** By id: a name may have come to mean another one. */
  image: string
  /** Our profile, as a file. */
  seccomp: string
  /** The program and its arguments; none: a shell. */
  program: readonly string[]
  terminal: boolean
}

/**
 * The arguments of `docker` that open a preserved image where it can do nothing: no network, nothing to write to, no
 * capabilities, our seccomp profile, nobody's user, and neither its entrypoint nor its health check nor its environment. What
 * runs are still the programs that were found there: what they print is to be taken as the intruder's word.
 */
export function analysisArguments({ image, seccomp, program, terminal }: Analysis): string[] {
  return [
    ...['run', '--rm', '--pull', 'never', '--interactive', ...(terminal ? ['--tty'] : [])],
    ...['--label', THROWAWAY_LABEL, '--no-healthcheck', '--hostname', 'analysis', '--workdir', '/'],
    ...['--network', 'none', '--ipc', 'none', '--read-only', '--cap-drop', 'ALL'],
    ...['--security-opt', 'no-new-privileges:true', '--security-opt', `seccomp=${seccomp}`],
    ...['--user', '65534:65534', '--pids-limit', '64', '--memory', '512m', '--memory-swap', '512m'],
    ...['--cpus', '1', '--ulimit', 'core=0', '--log-driver', 'none'],
    ...['--entrypoint', '/usr/bin/env', image, '-i', `PATH=${PATH}`, 'HOME=/', 'TERM=dumb'],
    ...(program.length > 0 ? program : ['/bin/sh']),
  ]
}

const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
