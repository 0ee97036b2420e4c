//! Mails and text messages: in the language of the request that they follow, or of who gets them where
//! somebody else's request it was.

use super::words;

words! {
    code_subject(title: &str)
        en "{title}: your one-time code"
        es "{title}: su código de un solo uso"
    // Phones fill the code in from the last line: it is for them, and the same in every language.
    code_sms(title: &str, code: &str, host: &str)
        en "{title}: your one-time code is {code}. It works for 10 minutes. Nobody will ask you for it.\n\n@{host} #{code}"
        es "{title}: su código de un solo uso es {code}. Funciona durante 10 minutos. Nadie se lo pedirá.\n\n@{host} #{code}"
    code_mail(code: &str, host: &str)
        en "Your one-time code is\n\n    {code}\n\nIt works once, for 10 minutes, at {host} only. Nobody from your clinic will ask you for it.\n\nYou did not log in just now? Then somebody knows your password: change it, and tell your user manager.\n"
        es "Su código de un solo uso es\n\n    {code}\n\nFunciona una sola vez, durante 10 minutos, y solo en {host}. Nadie de su clínica se lo pedirá.\n\n¿No acaba de iniciar sesión? Entonces alguien conoce su contraseña: cámbiela y avise a su administrador de usuarios.\n"
    locked_subject(title: &str)
        en "{title}: one of your sign-in methods was locked"
        es "{title}: se bloqueó uno de sus métodos de inicio de sesión"
    locked_mail(name: &str, count: impl std::fmt::Display, method: &str)
        en "Hello {name},\n\nsomebody who knows your password typed {count} wrong codes in a row. Codes for your method \"{method}\" are not accepted any more; other methods that you set up still work.\n\nIf it was not you, change your password. Your user manager can reset your multi-factor authentication.\n"
        es "Hola, {name}:\n\nAlguien que conoce su contraseña escribió {count} códigos incorrectos seguidos. Ya no se aceptan códigos para su método “{method}”; los demás métodos que configuró siguen funcionando.\n\nSi no fue usted, cambie su contraseña. Su administrador de usuarios puede restablecer su autenticación multifactor.\n"
    reset_subject(title: &str)
        en "{title}: set a new password"
        es "{title}: establezca una contraseña nueva"
    reset_mail(login: &str, title: &str, link: &str)
        en "Somebody, we hope you, wants to set a new password for the account {login} at {title}.\n\nOpen this address to do so. It works once, for 60 minutes:\n\n{link}\n\nIf it was not you, there is nothing to do: your password stays as it is.\n"
        es "Alguien, esperamos que usted, quiere establecer una contraseña nueva para la cuenta {login} en {title}.\n\nPara hacerlo, abra esta dirección. Funciona una sola vez, durante 60 minutos:\n\n{link}\n\nSi no fue usted, no tiene que hacer nada: su contraseña queda como está.\n"

    factors_reset_subject
        en "Your multi-factor authentication was reset"
        es "Su autenticación multifactor se restableció"
    factors_reset_mail
        en "A user manager of your company reset your multi-factor authentication. You are signed out everywhere, and you will set it up anew when you log in next.\n\nIf you did not ask for this, tell your user manager now.\n"
        es "Un administrador de usuarios de su empresa restableció su autenticación multifactor. Su sesión se cerró en todas partes y la configurará de nuevo la próxima vez que inicie sesión.\n\nSi usted no lo pidió, avise ahora a su administrador de usuarios.\n"
    factor_replaced_subject
        en "Your authenticator app was replaced"
        es "Su aplicación de autenticación se reemplazó"
    factor_replaced_mail
        en "A new authenticator app now stands in the place of your old one.\n\nIf this was not you, tell your user manager now.\n"
        es "Una nueva aplicación de autenticación ocupa ahora el lugar de la anterior.\n\nSi no fue usted, avise ahora a su administrador de usuarios.\n"
    factor_removed_subject
        en "A second factor was removed"
        es "Se quitó un segundo factor"
    factor_removed_mail
        en "One of your second factors was removed in My Profile.\n\nIf this was not you, tell your user manager now.\n"
        es "Uno de sus segundos factores se quitó en Mi perfil.\n\nSi no fue usted, avise ahora a su administrador de usuarios.\n"
    factor_added_subject
        en "A second factor was added"
        es "Se añadió un segundo factor"
    factor_added_mail
        en "A second factor was added: you can log in with it from now on.\n\nIf this was not you, tell your user manager now.\n"
        es "Se añadió un segundo factor: desde ahora puede iniciar sesión con él.\n\nSi no fue usted, avise ahora a su administrador de usuarios.\n"
    codes_moved_subject
        en "Your one-time codes go elsewhere now"
        es "Sus códigos de un solo uso se envían ahora a otro lugar"
    codes_moved_mail
        en "One-time codes for you go to another number or address from now on. It was changed in My Profile.\n\nIf this was not you, tell your user manager now.\n"
        es "Desde ahora sus códigos de un solo uso se envían a otro número o a otra dirección. El cambio se hizo en Mi perfil.\n\nSi no fue usted, avise ahora a su administrador de usuarios.\n"
    codes_guessed_subject
        en "Somebody typed wrong codes in your name"
        es "Alguien escribió códigos incorrectos en su nombre"
    codes_guessed_mail
        en "Somebody was asked for your one-time code, after your password or in a session of yours, and typed five wrong ones in a row. Nobody got in with them.\n\nIf it was not you, somebody knows your password: change it, and tell your user manager.\n"
        es "A alguien se le pidió su código de un solo uso, después de su contraseña o en una sesión suya, y escribió cinco incorrectos seguidos. Nadie entró con ellos.\n\nSi no fue usted, alguien conoce su contraseña: cámbiela y avise a su administrador de usuarios.\n"
    password_changed_subject
        en "Your password was changed"
        es "Su contraseña se cambió"
    password_changed_mail
        en "One of your passwords was changed. Whoever was signed in with the old one is signed out.\n\nIf this was not you, tell your user manager now.\n"
        es "Una de sus contraseñas se cambió. Se cerraron las sesiones iniciadas con la anterior.\n\nSi no fue usted, avise ahora a su administrador de usuarios.\n"
}
