#!../../bin/linux-x86_64/example

< envPaths

## Register all support components
dbLoadDatabase("${TOP}/dbd/example.dbd")
example_registerRecordDeviceDriver(pdbbase)

## Where the protocol files are, and messages from StreamDevice
epicsEnvSet("STREAM_PROTOCOL_PATH", "${TOP}/db")
var streamError 1

## The power supply: PSU_ADDRESS in the environment points to another one
drvAsynIPPortConfigure("PS1", "${PSU_ADDRESS=localhost:9999}")

## Load record instances
dbLoadRecords("${TOP}/db/example.db", "PREFIX=${PREFIX=},PORT=PS1")

iocInit()
