// Runs the start-up script named on the command line, then an IOC shell until `exit` or end of input.

#include <epicsExit.h>
#include <epicsThread.h>
#include <iocsh.h>

int main(int argc, char *argv[])
{
    if (argc >= 2) {
        iocsh(argv[1]);
        epicsThreadSleep(.2); // let start-up messages out before the prompt
    }
    iocsh(NULL);
    epicsExit(0);
    return 0;
}
