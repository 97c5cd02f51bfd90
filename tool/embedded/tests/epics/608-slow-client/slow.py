import subprocess,os,signal,time,re
pid=[os.environ["IOC_PID"]]
def rss(): return max(int(re.search(r"VmRSS:\s+(\d+)",open(f"/proc/{p}/status").read()).group(1)) for p in pid)
m=subprocess.Popen(["camonitor","W"],stdout=subprocess.DEVNULL); time.sleep(1); os.kill(m.pid,signal.SIGSTOP)
r0=rss(); t=time.time()
for i in range(40): subprocess.run(["caput","-a","W","3",str(i),"1","2"],stdout=subprocess.DEVNULL)
ok=subprocess.run(["caget","-t","A"],capture_output=True,text=True,timeout=20).stdout.strip()
print("others served:", ok=="0", "grew less than 100 MB:", rss()-r0<100000)
os.kill(m.pid,signal.SIGCONT); time.sleep(1); m.kill(); m.wait()
# abrupt ends
ps=[subprocess.Popen(["camonitor","F","A","W"],stdout=subprocess.DEVNULL) for _ in range(40)]; time.sleep(3); [p.kill() for p in ps]; [p.wait() for p in ps]; time.sleep(1)
print("alive:", subprocess.run(["caget","-t","A"],capture_output=True,text=True).stdout.strip()=="0", "clients:", )
# garbage
import socket
for g in (b"\0"*64, b"\xff"*1000, b"GET / HTTP/1.0\r\n\r\n", os.urandom(5000), b"\0\1\xff\xff"+b"\0"*12, b"\0\x0f\xff\xff\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff"):
    s=socket.create_connection(("127.0.0.1",5064)); s.sendall(g); time.sleep(.1); s.close()
    u=socket.socket(socket.AF_INET,socket.SOCK_DGRAM); u.sendto(g[:1400],("127.0.0.1",5064))
time.sleep(.5); print("alive:", subprocess.run(["caget","-t","A"],capture_output=True,text=True).stdout.strip()=="0")
