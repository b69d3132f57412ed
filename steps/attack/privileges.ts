import type { Attack } from './attack.ts'

const threat = 'privilege escalation'

/** What a kernel answers that did not let the caller in. */
const CALLS = `
calls() {
  [ -n "$PROBE" ] || untried 'the probe can be started nowhere here'
  results=$(OCS_SIBLING=1 "$PROBE" calls 2>&1) || untried "$results"
  seen=
  reached=
  for name in "$@"; do
    line=$(echo "$results" | grep "^$name ") || continue
    seen="$seen $line,"
    case $line in *' EPERM'|*' EACCES'|*' ENOSYS'|*' SIGSYS'|*' EAFNOSUPPORT'|*' EPROTONOSUPPORT') ;; *) reached="$reached $line" ;; esac
  done
  [ -n "$seen" ] || untried 'the probe knows none of these calls'
  [ -z "$reached" ] || through $reached
  stopped $seen
}
`

/** Calls of the kernel, by their names in native/probe.c. */
function kernel(name: string, title: string, ...calls: string[]): Attack {
  return {
    id: `attack.privileges.${name}`,
    threat,
    title,
    needs: ['PROBE'],
    how: { shell: `${CALLS}\ncalls ${calls.join(' ')}` },
  }
}

export const privilegeAttacks: readonly Attack[] = [
  kernel(
    'user-namespace',
    'become root in a user namespace of its own',
    'unshare:newuser',
    'clone:newuser',
    'clone3:newuser',
  ),
  kernel('namespace', 'enter another namespace', 'setns'),
  kernel(
    'mount-calls',
    'mount something, by the old calls and the new ones',
    'mount',
    'fsopen',
    'open_tree',
    'move_mount',
  ),
  kernel('pivot', 'change what is the root', 'pivot_root', 'chroot'),
  kernel('handle', 'open files of the machine by their handles (shocker)', 'open_by_handle_at'),
  kernel(
    'ptrace',
    'steer another process',
    'ptrace:traceme',
    'process_vm_readv',
    'process_vm_writev',
    'pidfd_getfd',
  ),
  kernel('keys', 'read the kernel’s keys', 'keyctl', 'add_key', 'request_key'),
  kernel('bpf', 'load programs into the kernel', 'bpf', 'perf_event_open'),
  kernel('reboot', 'start another kernel', 'kexec_load', 'reboot'),
  kernel('io-uring', 'get past the filter by io_uring', 'io_uring_setup', 'io_uring_register'),
  kernel('userfault', 'hold the kernel in the middle of a copy (userfaultfd)', 'userfaultfd'),
  kernel('other-abi', 'get past the filter by another ABI (int 0x80)', 'int80:getpid'),
  kernel('raw-socket', 'forge packets', 'socket:raw-icmp'),
  kernel('terminal', 'type into somebody else’s terminal', 'ioctl:TIOCSTI', 'ioctl:TIOCLINUX'),
  kernel('clock', 'set the machine’s clock', 'settimeofday', 'clock_settime', 'adjtimex'),
  kernel('root', 'become root, or take back capabilities', 'setuid:0', 'capset:all', 'setgroups:0'),
  {
    id: 'attack.privileges.engine',
    threat,
    title: 'have the Docker engine start a container that is root on the machine',
    how: {
      shell: String.raw`
socket=$(ls /var/run/docker.sock /run/docker.sock /run/containerd/containerd.sock 2>/dev/null | head -n 1)
[ -n "$socket" ] || stopped 'no socket of an engine here'
does perl -MIO::Socket::UNIX -e '
  alarm 5;
  $socket = IO::Socket::UNIX->new(Peer => $ARGV[0]) or do { print $!; exit 1 };
  syswrite $socket, "GET /version HTTP/1.0\r\n\r\n";
  sysread $socket, $answer, 15;
  print $answer; exit($answer =~ / 200/ ? 0 : 1)' "$socket"`,
    },
  },
  {
    id: 'attack.privileges.release-agent',
    threat,
    title: 'have the kernel run a program outside (release_agent of a control group)',
    how: {
      shell: `
place=/tmp/.ocs-group
mkdir -p $place
seen=$(act mount ocs $place cgroup 0 memory) || seen=$(act mount ocs $place cgroup2 0 '')
code=$?
[ $code = 0 ] || rmdir $place
case $code in 0) ;; 1) stopped 'no mount' ;; *) untried "$seen" ;; esac
sh -c ": >>$place/release_agent"; code=$?
act unmount $place >/dev/null; rmdir $place
[ $code = 0 ] && through 'release_agent can be written'
stopped 'mounted, and not writable'`,
    },
  },
  {
    id: 'attack.privileges.core-pattern',
    threat,
    title: 'have the kernel run a program outside when one crashes (core_pattern)',
    how: { shell: `append /proc/sys/kernel/core_pattern` },
  },
  {
    id: 'attack.privileges.sysctl',
    threat,
    title: 'change settings of the kernel (/proc/sys)',
    how: { shell: `append /proc/sys/kernel/panic` },
  },
  {
    id: 'attack.privileges.device',
    threat,
    title: 'read the kernel’s log through a device of its own making',
    how: {
      shell: `
for made in /dev/.ocs-kmsg /tmp/.ocs-kmsg; do
  seen=$(act mknod $made c 1 11)
  case $? in 0) ;; 1) continue ;; *) untried "$seen" ;; esac
  sh -c ": <$made"; code=$?
  rm -f $made
  [ $code = 0 ] && through 'the device opens'
done
stopped refused`,
    },
  },
]
