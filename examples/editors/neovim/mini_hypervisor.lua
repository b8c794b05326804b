-- Debugs guests of mini_hypervisor with nvim-dap and gdb 14 or later. In init.lua:
--
--     dofile(vim.fn.expand('~/mini_hypervisor/examples/editors/neovim/mini_hypervisor.lua'))
--
-- :DapContinue in a source of a guest asks for a configuration, and starts. Keys: F5 continue, F10 over, F11 into, F12 out;
-- with Shift, F5 and F10 run backwards; F9 sets a breakpoint.
local dap = require('dap')
local program = 'mini_hypervisor --memory 4'

local function elf()
  return vim.fn.expand('%:p:h') .. '/guest.elf'
end

-- gdb reads the commands of tools/gdb/mini_hypervisor.py first: they add the requests that run backwards
local commands = vim.fn.fnamemodify(debug.getinfo(1, 'S').source:sub(2), ':p:h') .. '/../../../tools/gdb/mini_hypervisor.py'
local arguments = { '--quiet', '--interpreter=dap' }
if vim.fn.filereadable(commands) == 1 then
  table.insert(arguments, '--init-command=' .. commands)
end

dap.adapters.mini_hypervisor = { type = 'executable', command = 'gdb', args = arguments }

-- Build the guest, and start it in a terminal, from which it reads its input; where gdb connects.
local function start()
  local image = elf()
  local made = vim.fn.system({ 'make', '-C', vim.fn.fnamemodify(image, ':h') })
  if vim.v.shell_error ~= 0 then
    error(made)
  end
  local where
  vim.cmd('botright 12split | enew')
  vim.fn.termopen(program .. ' --gdb 0 --guest ' .. vim.fn.shellescape(image), {
    on_stdout = function(_, lines)
      where = where or table.concat(lines):match("target remote ([%d.:]+)'")
    end,
  })
  vim.cmd('wincmd p')
  if not vim.wait(10000, function() return where ~= nil end) then
    error('the guest did not start')
  end
  return where
end

local configurations = {
  { name = 'Guest: make, start and debug', type = 'mini_hypervisor', request = 'attach', program = elf, target = start },
  {
    name = 'Guest: join one that runs with --gdb',
    type = 'mini_hypervisor',
    request = 'attach',
    program = elf,
    target = '127.0.0.1:1234',
  },
}
dap.configurations.c = vim.list_extend(dap.configurations.c or {}, configurations)
dap.configurations.asm = vim.list_extend(dap.configurations.asm or {}, configurations)

for key, run in pairs({
  ['<F5>'] = dap.continue,
  ['<S-F5>'] = dap.reverse_continue,
  ['<F9>'] = dap.toggle_breakpoint,
  ['<F10>'] = dap.step_over,
  ['<S-F10>'] = dap.step_back,
  ['<F11>'] = dap.step_into,
  ['<F12>'] = dap.step_out,
}) do
  vim.keymap.set('n', key, run)
end
