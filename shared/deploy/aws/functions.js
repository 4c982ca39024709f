// Fills in `custom.each` of serverless.yml once for each entry of `custom.functions`.

const filled = (template, values) =>
  JSON.parse(JSON.stringify(template).replace(/<(\w+)>/g, (_, key) => values[key]));

module.exports = async ({ resolveVariable }) => {
  const { functions, each } = await resolveVariable("self:custom");
  const described = Object.entries(functions).map(([name, entry]) => {
    const id = name[0].toUpperCase() + name.slice(1).replaceAll("-", "Dash");
    const one = filled(each, { ...entry, name, id, folder: name.replaceAll("-", "_") });
    return [name, { ...one, function: { ...one.function, ...entry.function } }];
  });
  return {
    functions: Object.fromEntries(described.map(([name, one]) => [name, one.function])),
    resources: { Resources: Object.assign({}, ...described.map(([, one]) => one.resources)) },
  };
};
