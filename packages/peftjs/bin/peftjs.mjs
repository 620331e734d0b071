#!/usr/bin/env node
import { main } from '@peftjs/cli';

process.exitCode = await main(process.argv.slice(2));
